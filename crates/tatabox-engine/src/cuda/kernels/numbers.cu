// Numbers of activations (E: bf16 if BF16 is 1, else f32), sums over a warp, and dropout. Legend: a warp covers 256 columns of a row at a time,
// a lane 8 neighbours.

const u32 NONE = 0xffffffffu;
#define INFINITE __uint_as_float(0x7f800000u)

#if BF16
typedef u16 E;
DEVICE float up(E value) { return __uint_as_float((u32)value << 16); }
DEVICE E down(float value) { return (E)pack_bf16(value, 0.0f); }
#else
typedef float E;
DEVICE float up(E value) { return value; }
DEVICE E down(float value) { return value; }
#endif

// Columns that a row takes in shared memory.
DEVICE u32 padded(u32 columns) { return (columns + 255) / 256 * 256; }

// Eight numbers, zeros beyond `left`. `whole`: rows are multiples of 8 numbers, so that each eight is all there or not, and aligned.
DEVICE void load8(const float* from, int left, bool whole, float (&to)[8]) {
    if (whole && left > 0) {
        const float4 a = ((const float4*)from)[0], b = ((const float4*)from)[1];
        to[0] = a.x; to[1] = a.y; to[2] = a.z; to[3] = a.w;
        to[4] = b.x; to[5] = b.y; to[6] = b.z; to[7] = b.w;
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) to[i] = i < left ? from[i] : 0.0f;
    }
}

DEVICE void store8(float* to, int left, bool whole, const float (&from)[8]) {
    if (whole) {
        if (left > 0) {
            float4 a, b;
            a.x = from[0]; a.y = from[1]; a.z = from[2]; a.w = from[3];
            b.x = from[4]; b.y = from[5]; b.z = from[6]; b.w = from[7];
            ((float4*)to)[0] = a;
            ((float4*)to)[1] = b;
        }
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) if (i < left) to[i] = from[i];
    }
}

#if BF16
DEVICE void load8(const u16* from, int left, bool whole, float (&to)[8]) {
    if (whole && left > 0) {
        const uint4 bits = *(const uint4*)from;
        const u32 words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            to[2 * i] = __uint_as_float(words[i] << 16);
            to[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
        }
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) to[i] = i < left ? up(from[i]) : 0.0f;
    }
}

DEVICE void store8(u16* to, int left, bool whole, const float (&from)[8]) {
    if (whole) {
        if (left > 0) {
            uint4 bits;
            bits.x = pack_bf16(from[0], from[1]);
            bits.y = pack_bf16(from[2], from[3]);
            bits.z = pack_bf16(from[4], from[5]);
            bits.w = pack_bf16(from[6], from[7]);
            *(uint4*)to = bits;
        }
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) if (i < left) to[i] = down(from[i]);
    }
}
#endif

// Over the 32 lanes; every lane gets it.
DEVICE float warp_sum(float value) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

DEVICE float warp_max(float value) {
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}

// Philox 4x32 with seven rounds (src/philox.rs).
DEVICE void philox(u32 c0, u32 c1, u32 c2, const u32* key, u32 (&x)[4]) {
    u32 k0 = key[0], k1 = key[1];
    x[0] = c0; x[1] = c1; x[2] = c2; x[3] = 0;
#pragma unroll
    for (int round = 0; round < 7; round++) {
        const u32 high0 = __umulhi(x[0], 0xD2511F53u), low0 = x[0] * 0xD2511F53u;
        const u32 high1 = __umulhi(x[2], 0xCD9E8D57u), low1 = x[2] * 0xCD9E8D57u;
        x[0] = high1 ^ x[1] ^ k0;
        x[1] = low1;
        x[2] = high0 ^ x[3] ^ k1;
        x[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

// Dropout of one op: a 16-bit draw below the threshold drops, what stays is scaled. The key lies in device memory, because it changes from step
// to step and a captured graph keeps its arguments. No key: nothing is dropped.
struct Dropout {
    const u32* key;
    u32 threshold;
    float scale;
};

// What is kept of columns 128 group + lane16 + 16 i, a bit each for i = 0..7 (lane16 < 16): one call of the generator.
DEVICE u32 kept_bits(const Dropout& dropout, u32 row, u32 plane, u32 group, u32 lane16) {
    u32 words[4], bits = 0;
    philox(group * 16 + lane16, row, plane, dropout.key, words);
#pragma unroll
    for (int word = 0; word < 4; word++) {
        bits |= (words[word] & 0xffffu) < dropout.threshold ? 0u : 1u << (2 * word);
        bits |= (words[word] >> 16) < dropout.threshold ? 0u : 2u << (2 * word);
    }
    return bits;
}

// Multiplies a lane's eight columns `first + 8 lane ..` of a row by their factors; all lanes call. The draws come 16 columns apart, so that the
// lanes hand each other their bits.
DEVICE void drop8(const Dropout& dropout, u32 row, u32 first, u32 lane, float (&values)[8]) {
    if (dropout.key == 0) return;
    const u32 mine = kept_bits(dropout, row, 0, first / 128 + lane / 16, lane % 16);
    u32 kept = 0;
#pragma unroll
    for (u32 i = 0; i < 8; i++) {
        // Bits of columns 16 i .. 16 i + 15 of both groups.
        const u32 votes = __ballot_sync(0xffffffffu, (mine >> i) & 1);
        if ((lane % 16) / 2 == i) kept = votes;
    }
    kept >>= 16 * (lane / 16) + 8 * (lane % 2);
#pragma unroll
    for (int i = 0; i < 8; i++) values[i] = (kept >> i) & 1 ? values[i] * dropout.scale : 0.0f;
}
