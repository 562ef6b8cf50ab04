/* Writes text-like bytes, the same ones everywhere: words of a fixed vocabulary, some far more frequent than
 * others, in lines. It compresses about as prose does.
 *
 *   textgen BYTES >FILE
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 4096

static uint32_t seed = 12345;
static uint32_t rnd(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)seed * below >> 32);
}

static char words[WORDS][12];

static void make_words(void)
{
    static const char vowels[] = "aeiouea", others[] = "tnshrdlcmwfgypbvk";
    for (unsigned i = 0; i < WORDS; i++) {
        unsigned length = 2 + rnd(4) + rnd(6);
        for (unsigned k = 0; k < length; k++)
            words[i][k] = k & 1 ? vowels[rnd(sizeof vowels - 1)] : others[rnd(sizeof others - 1)];
    }
}

int main(int argc, char **argv)
{
    unsigned long long left = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
    if (!left) {
        fprintf(stderr, "usage: textgen BYTES\n");
        return 2;
    }
    make_words();
    unsigned column = 0;
    while (left) {
        /* The product of two draws: the first words are the frequent ones. */
        const char *word = words[rnd(WORDS) * (uint64_t)rnd(WORDS) / WORDS];
        char text[16];
        unsigned length = (unsigned)strlen(word);
        memcpy(text, word, length);
        column += length + 1;
        text[length++] = column > 72 ? '\n' : ' ';
        if (column > 72)
            column = 0;
        if (length > left)
            length = (unsigned)left;
        if (fwrite(text, 1, length, stdout) != length) {
            perror("textgen");
            return 1;
        }
        left -= length;
    }
    if (fflush(stdout)) {
        perror("textgen");
        return 1;
    }
    return 0;
}
