#include "hybrid.h"

#include "bits.h"
#include "varint.h"

int bits_of(uint32_t most) {
    int bits = 0;
    for (; most; most >>= 1) bits++;
    return bits;
}

int next_run(input *in, int width, size_t left, hybrid_run *run) {
    uint64_t header;
    if (!read_varint(&in->at, in->end, &header) || header < 2) return 0;
    size_t there = (size_t)(in->end - in->at), count = (size_t)(header >> 1);
    if (header & 1) {
        size_t size = count * (size_t)width;
        run->count = count * 8 < left ? count * 8 : left;
        if (there < size) {
            /* The last group may be cut behind its last value. */
            if (run->count != left || there < (left * (size_t)width + 7) / 8) return 0;
            size = there;
        }
        run->packed = in->at;
        run->size = there;
        in->at += size;
        return 1;
    }
    size_t size = (size_t)(width + 7) / 8;
    if (there < size) return 0;
    run->count = count < left ? count : left;
    run->packed = NULL;
    run->number = 0;
    for (size_t i = 0; i < size; i++) run->number |= (uint32_t)*in->at++ << 8 * i;
    return 1;
}

int decode_hybrid(input *in, int width, uint32_t *numbers, size_t count) {
    const uint32_t mask = width < 32 ? ((uint32_t)1 << width) - 1 : UINT32_MAX;
    /* Numbers in the bits that are taken at once. */
    const size_t at_once = width ? 57 / (size_t)width : 57;
    hybrid_run run;
    for (; count; count -= run.count, numbers += run.count) {
        if (!next_run(in, width, count, &run)) return 0;
        if (run.packed == NULL) {
            for (size_t i = 0; i < run.count; i++) numbers[i] = run.number;
            continue;
        }
        for (size_t i = 0; i < run.count;) {
            uint64_t bits = bits_at(run.packed, run.size, i * (size_t)width);
            for (size_t end = i + at_once < run.count ? i + at_once : run.count; i < end; i++, bits >>= width)
                numbers[i] = (uint32_t)bits & mask;
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

int take_sized(input *in, input *sized) {
    if (in->end - in->at < 4) return 0;
    size_t size = little_endian(in->at);
    if ((size_t)(in->end - in->at - 4) < size) return 0;
    *sized = (input){in->at + 4, in->at + 4 + size};
    in->at = sized->end;
    return 1;
}

void put_size(uint8_t *out, size_t size) {
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(size >> 8 * i);
}
