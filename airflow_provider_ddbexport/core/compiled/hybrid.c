#include "hybrid.h"

#include <string.h>

#include "varint.h"

int bits_of(uint32_t most) {
    int bits = 0;
    for (; most; most >>= 1) bits++;
    return bits;
}

int decode_hybrid(input *in, int width, uint32_t *numbers, size_t count) {
    const uint32_t mask = width < 32 ? ((uint32_t)1 << width) - 1 : UINT32_MAX;
    size_t done = 0;
    while (done < count) {
        uint64_t header;
        if (!read_varint(&in->at, in->end, &header)) return 0;
        size_t run = (size_t)(header >> 1), left = count - done;
        if (!run) return 0;
        if (header & 1) {
            size_t size = run * (size_t)width, here = run * 8 < left ? run * 8 : left;
            if ((size_t)(in->end - in->at) < size) {
                /* The last group may be cut behind its last value. */
                if (here != left || (size_t)(in->end - in->at) < (here * (size_t)width + 7) / 8) return 0;
                size = (size_t)(in->end - in->at);
            }
            size_t i = 0, bit = 0, bytes = (size_t)(in->end - in->at);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            for (; i < here && bit / 8 + 8 <= bytes; i++, bit += (size_t)width) {
                uint64_t word;
                memcpy(&word, in->at + bit / 8, 8);
                numbers[done++] = (uint32_t)(word >> bit % 8) & mask;
            }
#endif
            for (; i < here; i++, bit += (size_t)width) {
                uint64_t word = 0;
                for (size_t byte = bit / 8; byte * 8 < bit + (size_t)width; byte++)
                    word |= (uint64_t)in->at[byte] << (byte - bit / 8) * 8;
                numbers[done++] = (uint32_t)(word >> bit % 8) & mask;
            }
            in->at += size;
        } else {
            int size = (width + 7) / 8;
            uint32_t number = 0;
            if (in->end - in->at < size) return 0;
            for (int i = 0; i < size; i++) number |= (uint32_t)*in->at++ << 8 * i;
            if (run > left) run = left;
            for (size_t i = 0; i < run; i++) numbers[done++] = number;
        }
    }
    return 1;
}

static size_t run_at(const uint32_t *numbers, size_t start, size_t end) {
    size_t i = start + 1;
    while (i < end && numbers[i] == numbers[start]) i++;
    return i - start;
}

size_t hybrid_room(size_t count, int width) { return (count / 8 + 2) * (size_t)(10 + (width > 4 ? width : 4)); }

uint8_t *encode_hybrid(uint8_t *out, int width, const uint32_t *numbers, size_t count) {
    size_t start = 0;
    while (start < count) {
        size_t run = run_at(numbers, start, count);
        if (run >= 8) {
            out = write_varint(out, (uint64_t)run << 1);
            for (int i = 0; i < (width + 7) / 8; i++) *out++ = (uint8_t)(numbers[start] >> 8 * i);
            start += run;
            continue;
        }
        size_t end = start;
        do {
            end = end + 8 < count ? end + 8 : count;
        } while (end < count && run_at(numbers, end, end + 16 < count ? end + 16 : count) < 16);
        size_t groups = (end - start + 7) / 8;
        out = write_varint(out, (uint64_t)groups << 1 | 1);
        uint64_t bits = 0;
        int have = 0;
        for (size_t i = start; i < end; i++) {
            bits |= (uint64_t)numbers[i] << have;
            if ((have += width) < 32) continue;
            for (int byte = 0; byte < 4; byte++, bits >>= 8) *out++ = (uint8_t)bits;
            have -= 32;
        }
        for (have += (int)(start + groups * 8 - end) * width; have > 0; have -= 8, bits >>= 8) *out++ = (uint8_t)bits;
        start = end;
    }
    return out;
}

int decode_levels(input *in, int most, uint32_t *levels, size_t count) {
    if (in->end - in->at < 4) return 0;
    size_t size = little_endian(in->at);
    in->at += 4;
    if ((size_t)(in->end - in->at) < size) return 0;
    input here = {in->at, in->at + size};
    in->at += size;
    return decode_hybrid(&here, bits_of((uint32_t)most), levels, count);
}

uint8_t *encode_levels(uint8_t *out, int most, const uint32_t *levels, size_t count) {
    uint8_t *end = encode_hybrid(out + 4, bits_of((uint32_t)most), levels, count);
    size_t size = (size_t)(end - out - 4);
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(size >> 8 * i);
    return end;
}
