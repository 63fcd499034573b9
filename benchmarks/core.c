/* Decodes the blocks of a CSO (version 1) or ZSO image by one core and says how long it took.

   core IMAGE FIRST_BYTE LENGTH   decodes the blocks that hold these bytes of the disc; prints bytes and seconds
   core                           prints the version of the library

   The image is in memory before the clock starts; what is measured is the decoder, one block after another. */

#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef DEFLATE
#include <libdeflate.h>
#define VERSION LIBDEFLATE_VERSION_STRING
static struct libdeflate_decompressor *decompressor;
#else
#include <lz4.h>
#define VERSION LZ4_versionString()
#endif

static uint64_t number(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    while (bytes--)
        value = value << 8 | at[bytes];
    return value;
}

static int fail(const char *reason)
{
    fprintf(stderr, "core: %s\n", reason);
    return 1;
}

/* Whether a stored block, padding behind it or not, gives all the bytes that are wanted. */
static int decode(const unsigned char *from, size_t stored, unsigned char *to, size_t wanted, int padded)
{
#ifdef DEFLATE
    size_t used;
    (void)padded;
    return libdeflate_deflate_decompress_ex(decompressor, from, stored, to, wanted, &used, NULL) == LIBDEFLATE_SUCCESS;
#else
    int got = padded ? LZ4_decompress_safe_partial((const char *)from, (char *)to, stored, wanted, wanted)
                     : LZ4_decompress_safe((const char *)from, (char *)to, stored, wanted);
    return got == (int)wanted;
#endif
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return puts(VERSION) < 0;
    if (argc != 4)
        return fail("three arguments are needed");
    FILE *file = fopen(argv[1], "rb");
    if (!file || fseek(file, 0, SEEK_END))
        return fail("the image cannot be opened");
    size_t size = ftell(file);
    unsigned char *image = malloc(size + 1);
    rewind(file);
    if (!image || size < 24 || fread(image, 1, size, file) != size)
        return fail("the image cannot be read");

    uint64_t disc = number(image + 8, 8), block = number(image + 16, 4);
    int shift = image[21];
    uint64_t count = block ? (disc + block - 1) / block : 0;
    uint64_t start = strtoull(argv[2], NULL, 10), length = strtoull(argv[3], NULL, 10);
    if (!block || shift > 31 || count > (size - 24) / 4 || !length || start + length > disc)
        return fail("the image is not what was expected");
    unsigned char *out = malloc(block);
    if (!out)
        return fail("no memory");
    memset(out, 1, block);
#ifdef DEFLATE
    decompressor = libdeflate_alloc_decompressor();
#endif

    struct timespec before, after;
    uint64_t done = 0;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (uint64_t i = start / block; i <= (start + length - 1) / block; i++) {
        uint64_t entry = number(image + 24 + 4 * i, 4), next = number(image + 28 + 4 * i, 4);
        uint64_t at = (entry & 0x7fffffff) << shift, end = (next & 0x7fffffff) << shift;
        uint64_t wanted = disc - i * block < block ? disc - i * block : block;
        if (end > size)
            end = size;
        if (at > end)
            return fail("an entry of the index is wrong");
        if (entry >> 31) {
            if (end - at < wanted)
                return fail("a plain block is too short");
            memcpy(out, image + at, wanted);
        } else if (!decode(image + at, end - at, out, wanted, shift)) {
            return fail("a block cannot be decoded");
        }
        __asm__ volatile("" : : "r"(out) : "memory"); /* the bytes are wanted */
        done += wanted;
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    double seconds = (after.tv_sec - before.tv_sec) + (after.tv_nsec - before.tv_nsec) / 1e9;
    return printf("%llu %.9f\n", (unsigned long long)done, seconds) < 0;
}
