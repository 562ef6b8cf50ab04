/* VMware's mouse for a guest whose kernel does not take it: asks the backdoor's port (VMware's, as xf86-input-vmmouse
 * does) and says what it hears to the kernel's uinput, under the name "vmmoused". */
#include <fcntl.h>
#include <linux/uinput.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { CALL_DATA = 39, CALL_STATUS = 40, CALL_COMMAND = 41 };
#define READ_ID          0x45414552u
#define REQUEST_ABSOLUTE 0x53424152u
#define VERSION_ID       0x3442554au
#define WORDS            4

struct answer {
    uint32_t eax, ebx, ecx, edx;
};

static struct answer call(uint32_t number, uint32_t ebx)
{
    struct answer a = {0x564d5868, ebx, number, 0x5658};
    __asm__ volatile("inl %%dx, %%eax" : "+a"(a.eax), "+b"(a.ebx), "+c"(a.ecx), "+d"(a.edx) : : "esi", "edi");
    return a;
}

static void say(int out, uint16_t type, uint16_t code, int32_t value)
{
    struct input_event event = {.type = type, .code = code, .value = value};
    if (write(out, &event, sizeof(event)) != sizeof(event))
        perror("vmmoused: uinput");
}

int main(void)
{
    static const struct {
        uint16_t code;
        uint32_t bit;
    } buttons[] = {{BTN_LEFT, 0x20}, {BTN_RIGHT, 0x10}, {BTN_MIDDLE, 0x08}};
    struct uinput_user_dev device = {.name = "vmmoused", .absmax = {[ABS_X] = 0xffff, [ABS_Y] = 0xffff}};
    int out = open("/dev/uinput", O_WRONLY);
    if (iopl(3) || out < 0) {
        perror("vmmoused");
        return 1;
    }
    call(CALL_COMMAND, READ_ID);
    if (!(call(CALL_STATUS, 0).eax & 0xffff) || call(CALL_DATA, 1).eax != VERSION_ID) {
        fprintf(stderr, "vmmoused: nobody answers\n");
        return 1;
    }
    call(CALL_COMMAND, REQUEST_ABSOLUTE);
    ioctl(out, UI_SET_EVBIT, EV_KEY);
    for (unsigned i = 0; i < 3; i++)
        ioctl(out, UI_SET_KEYBIT, buttons[i].code);
    ioctl(out, UI_SET_EVBIT, EV_ABS);
    ioctl(out, UI_SET_ABSBIT, ABS_X);
    ioctl(out, UI_SET_ABSBIT, ABS_Y);
    if (write(out, &device, sizeof(device)) != sizeof(device) || ioctl(out, UI_DEV_CREATE)) {
        perror("vmmoused: uinput");
        return 1;
    }
    for (;;) {
        uint32_t status = call(CALL_STATUS, 0).eax;
        if (status >> 16 == 0xffff) {
            fprintf(stderr, "vmmoused: the mouse has an error\n");
            return 1;
        }
        if ((status & 0xffff) < WORDS) {
            usleep(10000);
            continue;
        }
        struct answer a = call(CALL_DATA, WORDS);
        for (unsigned i = 0; i < 3; i++)
            say(out, EV_KEY, buttons[i].code, (a.eax & buttons[i].bit) != 0);
        say(out, EV_ABS, ABS_X, (int32_t)a.ebx);
        say(out, EV_ABS, ABS_Y, (int32_t)a.ecx);
        say(out, EV_SYN, SYN_REPORT, 0);
    }
}
