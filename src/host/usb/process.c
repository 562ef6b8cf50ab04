/* The loop of a process that has a device of the host's: orders from the monitor, events of libusb's, and twice a
 * second a look at which devices there are. See README.md.
 */
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "host/fence.h"
#include "host/process.h"
#include "worker.h"

#define LOOK_US  (G_USEC_PER_SEC / 2)
#define POLL_MAX 64

void worker_news(struct usb_worker *worker, struct usb_news *news)
{
    ssize_t len;
    news->session = worker->session;
    do
        len = write(PROCESS_FD + USB_SOCKET, news, sizeof(*news));
    while (len < 0 && errno == EINTR);
    if (len != sizeof(*news))
        worker->quits = true;
}

void worker_answer(struct usb_worker *worker, unsigned slot, enum usbhost_status status, uint32_t actual)
{
    struct usb_news news = {.kind = NEWS_ANSWER, .answer = {(uint8_t)slot, (uint8_t)status, actual}};
    worker_news(worker, &news);
}

static void news_send(struct usb_worker *worker, enum usb_news_kind kind)
{
    struct usb_news news = {.kind = (uint32_t)kind};
    worker_news(worker, &news);
}

/* --- Orders --- */

static void give_back(struct usb_worker *worker, bool again)
{
    device_give_back(worker, again);
    news_send(worker, NEWS_WENT);
}

static void order_take(struct usb_worker *worker)
{
    struct usb_call call;
    const struct usbhost_order *order = &call.order;
    ssize_t len = read(PROCESS_FD + USB_SOCKET, &call, sizeof(call));
    if (len < 0 && errno == EINTR)
        return;
    if (len != sizeof(call) || order->kind == ORDER_LEAVE) {
        worker->quits = true;
        return;
    }
    if (call.session != worker->session || !worker->handle || order->slot >= USBHOST_SLOTS)
        return; /* it went meanwhile */
    if (order->kind == ORDER_CANCEL)
        device_cancel(worker, order->slot);
    else if (order->kind == ORDER_RELEASE)
        give_back(worker, order->value);
    else if (worker->flying & 1u << order->slot ||
             order->len > (order->slot == 0 ? USBHOST_CONTROL_MAX : USBHOST_BUFFER))
        worker->quits = true;
    else
        device_serve(worker, order);
}

/* --- Looking --- */

/* It is named by the address that it has now, which it will never have again. */
static bool is_this_one(const struct usb_wanted *wanted)
{
    return wanted->bus && wanted->address && !wanted->vendor && !wanted->product && !wanted->port[0];
}

static void look(struct usb_worker *worker)
{
    struct usb_news says = {.kind = NEWS_SAYS};
    if (worker->handle) {
        worker->is_lost = worker->is_lost || device_is_gone(worker);
        return;
    }
    if (is_this_one(&worker->wanted) && worker->was_ours && worker->is_lost)
        return;
    if (device_take(worker, says.text, sizeof(says.text)))
        news_send(worker, NEWS_CAME);
    else if (says.text[0])
        worker_news(worker, &says);
}

/* --- The loop --- */

static int fds_fill(struct usb_worker *worker, struct pollfd *fds)
{
    const struct libusb_pollfd **list = usb_lib.libusb_get_pollfds_(worker->context);
    int count = 1;
    fds[0] = (struct pollfd){PROCESS_FD + USB_SOCKET, POLLIN, 0};
    for (unsigned i = 0; list && list[i] && count < POLL_MAX; i++)
        fds[count++] = (struct pollfd){list[i]->fd, list[i]->events, 0};
    if (list)
        usb_lib.libusb_free_pollfds_(list);
    return count;
}

static void loop(struct usb_worker *worker)
{
    int64_t next = g_get_monotonic_time();
    while (!worker->quits) {
        struct pollfd fds[POLL_MAX];
        struct timeval due, none = {0, 0};
        int count = fds_fill(worker, fds);
        int64_t wait = MAX(next - g_get_monotonic_time(), 0);
        if (usb_lib.libusb_get_next_timeout_(worker->context, &due) == 1)
            wait = MIN(wait, due.tv_sec * G_USEC_PER_SEC + due.tv_usec);
        poll(fds, (nfds_t)count, (int)((wait + 999) / 1000));
        if (fds[0].revents)
            order_take(worker);
        usb_lib.libusb_handle_events_timeout_completed_(worker->context, &none, NULL);
        if (g_get_monotonic_time() >= next) {
            look(worker);
            next = g_get_monotonic_time() + LOOK_US;
        }
        if (worker->is_lost && worker->handle)
            give_back(worker, true);
    }
    device_give_back(worker, true);
}

/* --- Life --- */

static _Noreturn void refuse(struct usb_worker *worker, const char *why)
{
    struct usb_news news = {.kind = NEWS_READY, .answer.status = 1};
    g_strlcpy(news.text, why, sizeof(news.text));
    worker_news(worker, &news);
    _exit(1);
}

/* The library is loaded first, for which files are opened anywhere; it makes a thread, which is to be behind both
 * fences. */
static void library_start(struct usb_worker *worker)
{
    const char *why = usb_load();
    if (why)
        refuse(worker, why);
    fence_usb_files();
    int rc = usb_lib.libusb_init_(&worker->context);
    if (rc != 0) {
        char text[128];
        g_snprintf(text, sizeof(text), "libusb finds no USB on this host: %s", usb_lib.libusb_error_name_(rc));
        refuse(worker, text);
    }
    if (!fence_enter_usb())
        refuse(worker, "this host allows no fence around its process");
}

_Noreturn void usb_process_main(const struct usb_wanted *wanted)
{
    static struct usb_worker worker;
    char why[256];
    prctl(PR_SET_PDEATHSIG, 0); /* the socket tells us, and then the device is to be given back */
    worker.wanted = *wanted;
    void *memory = mmap(NULL, sizeof(struct usb_share), PROT_READ | PROT_WRITE, MAP_SHARED, PROCESS_FD + USB_MEMORY, 0);
    if (memory == MAP_FAILED)
        refuse(&worker, "no memory to share with it");
    worker.share = memory;
    library_start(&worker);
    if (wanted->is_list) {
        devices_list(&worker, worker.share->list, sizeof(worker.share->list));
        news_send(&worker, NEWS_READY);
        _exit(0);
    }
    if (!device_transfers_make(&worker))
        refuse(&worker, "libusb has no memory");
    if (is_this_one(wanted)) {
        if (!device_take(&worker, why, sizeof(why))) {
            if (!why[0])
                g_snprintf(why, sizeof(why), "there is no USB device %u:%u on the host; 'info usbhost' lists them",
                           wanted->bus, wanted->address);
            refuse(&worker, why);
        }
        news_send(&worker, NEWS_READY);
        news_send(&worker, NEWS_CAME);
    } else {
        news_send(&worker, NEWS_READY);
    }
    loop(&worker);
    _exit(0);
}
