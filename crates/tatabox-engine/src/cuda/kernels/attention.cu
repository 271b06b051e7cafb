// Self-attention inside each sequence, forward and backward, without scores in memory (as FlashAttention does, Dao et al. 2022): tiles of queries meet tiles of
// keys, the softmax is gathered as they pass, and the backward computes the probabilities and the dropout again. qkv [tokens, 3, heads, dim], out
// [tokens, heads, dim], lse and delta [heads, tokens]. HEAD is dim rounded up to a multiple of 16; the columns between are zeros. A block is one head (y) of
// one tile (x): {first row of the sequence, its length, start of the tile in it, unused}. A warp takes 16 rows of its block's tile. In the registers of a
// warp, 16 x 8 numbers lie as the tensor cores leave them: see `multiply_16_8_16`. lse is the logarithm to base 2 of the sum of a row's exponentials.

const u32 TILE = 64;
#if BF16
// Keys of a block that gathers the gradients of keys and values: all that one call of the generator tells of is used.
const u32 KEYS = 128;
#else
const u32 KEYS = 64;
#endif
// A row in shared memory: 16 bytes more than its numbers, so that the rows of a fragment begin in different banks.
const u32 LINE = HEAD + 16 / sizeof(E);
// Tiles that pass by are in two places in turn, so that one is copied while the other is worked on; in one where shared memory is short.
const u32 PLACES = BF16 && HEAD <= 64 ? 2 : 1;
// Of a tile that passes by in the backward, so many rows at a time: with more, registers have no room for two blocks of the keys' kernel on a multiprocessor.
const u32 STEP = 32;
#define LOG2_E 1.44269504f

// Begins to copy up to `rows` rows; zeros beyond `there` rows and `dim` columns.
DEVICE void load_tile(E* to, const E* from, u64 stride, u32 there, u32 rows, u32 dim) {
    for (u32 index = threadIdx.x; index < rows * (HEAD / 8); index += blockDim.x) {
        const u32 row = index / (HEAD / 8), column = index % (HEAD / 8) * 8;
        const E* source = from + row * stride + column;
        E* target = to + row * LINE + column;
        if (dim % 8 == 0) {
#pragma unroll
            for (u32 i = 0; i < 8; i += 16 / sizeof(E)) copy_16(target + i, source + i, row < there && column < dim);
        } else {
            for (u32 i = 0; i < 8; i++) target[i] = row < there && column + i < dim ? source[i] : (E)0;
        }
    }
}

// Hands every tile of `length` rows to `work`, with its first row and where it lies; `load` begins to copy one, and has begun with the first. A place has
// `numbers` numbers. All threads of the block call.
template <class Load, class Work> DEVICE void each_tile(u32 length, E* passing, u32 numbers, const Load& load, const Work& work) {
    for (u32 row = 0; row < length; row += TILE) {
        E* here = passing + row / TILE % PLACES * numbers;
        if (PLACES == 1 && row > 0) {
            __syncthreads();
            load(row, here);
        }
        // This tile is there for all, and all are done with the one before.
        wait_for_copies();
        __syncthreads();
        if (PLACES == 2 && row + TILE < length) load(row + TILE, passing + (row / TILE + 1) % PLACES * numbers);
        work(row, here);
    }
}

#if BF16
// scores [16, 8 N] += a b^T: a 16 rows, b 8 N rows in shared memory.
template <int N> DEVICE void multiply_rows(float (&scores)[N][4], const E* a, const E* b, u32 lane) {
#pragma unroll
    for (u32 k = 0; k < HEAD; k += 16) {
        u32 left[4];
        load_matrices(left, a + (lane % 16) * LINE + k + lane / 16 * 8);
#pragma unroll
        for (u32 n = 0; n < N; n += 2) {
            u32 right[4];
            load_matrices(right, b + (n * 8 + lane / 16 * 8 + lane % 8) * LINE + k + lane / 8 % 2 * 8);
            multiply_16_8_16(scores[n], left, right[0], right[1]);
            multiply_16_8_16(scores[n + 1], left, right[2], right[3]);
        }
    }
}

// sums [16, HEAD] += weights [16, 8 N] b: b 8 N rows in shared memory.
template <int N> DEVICE void add_weighted(float (&sums)[HEAD / 8][4], const float (&weights)[N][4], const E* b, u32 lane) {
#pragma unroll
    for (u32 k = 0; k < N; k += 2) {
        const u32 left[4] = {pack_bf16(weights[k][0], weights[k][1]), pack_bf16(weights[k][2], weights[k][3]),
                             pack_bf16(weights[k + 1][0], weights[k + 1][1]), pack_bf16(weights[k + 1][2], weights[k + 1][3])};
#pragma unroll
        for (u32 n = 0; n < HEAD / 8; n += 2) {
            u32 right[4];
            load_transposed(right, b + (k * 8 + lane % 16) * LINE + n * 8 + lane / 16 * 8);
            multiply_16_8_16(sums[n], left, right[0], right[1]);
            multiply_16_8_16(sums[n + 1], left, right[2], right[3]);
        }
    }
}
#else
template <int N> DEVICE void multiply_rows(float (&scores)[N][4], const E* a, const E* b, u32 lane) {
    const u32 g = lane / 4, q = lane % 4;
    for (u32 k = 0; k < HEAD; k++) {
        const float upper = a[g * LINE + k], lower = a[(g + 8) * LINE + k];
#pragma unroll
        for (u32 n = 0; n < N; n++) {
            const float even = b[(n * 8 + 2 * q) * LINE + k], odd = b[(n * 8 + 2 * q + 1) * LINE + k];
            scores[n][0] += upper * even;
            scores[n][1] += upper * odd;
            scores[n][2] += lower * even;
            scores[n][3] += lower * odd;
        }
    }
}

template <int N> DEVICE void add_weighted(float (&sums)[HEAD / 8][4], const float (&weights)[N][4], const E* b, u32 lane) {
    const u32 q = lane % 4;
#pragma unroll
    for (u32 n = 0; n < N; n++) {
#pragma unroll 1
        for (u32 k = 0; k < 8; k++) {
            // The four lanes of a row hold its weights.
            const int holder = (int)(lane / 4 * 4 + k / 2);
            const float upper = __shfl_sync(0xffffffffu, k % 2 == 0 ? weights[n][0] : weights[n][1], holder);
            const float lower = __shfl_sync(0xffffffffu, k % 2 == 0 ? weights[n][2] : weights[n][3], holder);
            const E* row = b + (n * 8 + k) * LINE + 2 * q;
#pragma unroll
            for (u32 c = 0; c < HEAD / 8; c++) {
                sums[c][0] += upper * row[8 * c];
                sums[c][1] += upper * row[8 * c + 1];
                sums[c][2] += lower * row[8 * c];
                sums[c][3] += lower * row[8 * c + 1];
            }
        }
    }
}
#endif

template <int N> DEVICE void clear(float (&numbers)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) numbers[n][i] = 0.0f;
}

// Over the four lanes that share a row.
DEVICE float row_max(float value) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1));
    return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2));
}

DEVICE float row_sum(float value) {
    value += __shfl_xor_sync(0xffffffffu, value, 1);
    return value + __shfl_xor_sync(0xffffffffu, value, 2);
}

// Takes keys behind the end of the sequence out.
template <int N> DEVICE void hide_outside(float (&scores)[N][4], u32 key, u32 length, u32 q) {
    if (key + 8 * N <= length) return;
#pragma unroll
    for (u32 n = 0; n < N; n++)
#pragma unroll
        for (u32 i = 0; i < 4; i++)
            if (key + 8 * n + 2 * q + i % 2 >= length) scores[n][i] = -INFINITE;
}

// What dropout keeps of 128 keys from `key` for the lane's two rows: a byte for each of the four columns that repeat every 16.
DEVICE void kept_of_rows(const Dropout& dropout, u32 row, u32 head, u32 key, u32 lane, u32 (&kept)[2]) {
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        kept[half] = 0;
#pragma unroll
        for (u32 byte = 0; byte < 4; byte++)
            kept[half] |= kept_bits(dropout, row + 8 * half, head, key / 128, lane % 4 * 2 + byte % 2 + byte / 2 * 8) << (8 * byte);
    }
}

// The factor of number i of fragment n of the keys from `key`, a multiple of 16.
DEVICE float factor_of(const Dropout& dropout, const u32 (&kept)[2], u32 key, u32 n, u32 i) {
    if (dropout.key == 0) return 1.0f;
    const u32 bit = 8 * (n % 2 * 2 + i % 2) + key % 128 / 16 + n / 2;
    return (kept[i / 2] >> bit) & 1 ? dropout.scale : 0.0f;
}

// Writes 16 rows of numbers, of which `there` exist, times the factors of their rows.
DEVICE void store_rows(E* to, u64 stride, int there, u32 dim, const float (&numbers)[HEAD / 8][4], float upper, float lower, u32 lane) {
    const u32 g = lane / 4, q = lane % 4;
#pragma unroll
    for (u32 c = 0; c < HEAD / 8; c++)
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            const u32 row = g + 8 * half, column = 8 * c + 2 * q;
            if ((int)row >= there || column >= dim) continue;
            const float factor = half == 0 ? upper : lower;
            const float a = numbers[c][2 * half] * factor, b = numbers[c][2 * half + 1] * factor;
            E* at = to + row * stride + column;
#if BF16
            if (dim % 2 == 0) {
                *(u32*)at = pack_bf16(a, b);
                continue;
            }
#endif
            at[0] = down(a);
            if (column + 1 < dim) at[1] = down(b);
        }
}

// Shared: a tile, and two in each place. Threads: 128.
KERNEL(128) attention_forward(const E* qkv, const uint4* tiles, E* out, float* lse, u32 tokens, u32 heads, u32 dim, float scale, Dropout dropout) {
    SHARED(E, queries);
    E* passing = queries + TILE * LINE;
    const uint4 tile = tiles[blockIdx.x];
    const u32 first = tile.x, length = tile.y, start = tile.z, head = blockIdx.y, hidden = heads * dim;
    if (start >= length) return;
    const u32 lane = threadIdx.x % 32, mine = start + threadIdx.x / 32 * 16, g = lane / 4, q = lane % 4;
    const u64 stride = 3 * hidden;
    const E* base = qkv + first * stride + head * dim;
    // Keys, then values.
    const auto load = [&](u32 key, E* to) {
        load_tile(to, base + hidden + key * stride, stride, length - key, TILE, dim);
        load_tile(to + TILE * LINE, base + 2 * hidden + key * stride, stride, length - key, TILE, dim);
    };
    load_tile(queries, base + start * stride, stride, length - start, TILE, dim);
    load(0, passing);
    const float factor = scale * LOG2_E;
    float sums[HEAD / 8][4], largest[2] = {-INFINITE, -INFINITE}, totals[2] = {0.0f, 0.0f};
    u32 kept[2] = {0, 0};
    clear(sums);
    each_tile(length, passing, 2 * TILE * LINE, load, [&](u32 key, const E* keys) {
        float scores[TILE / 8][4];
        clear(scores);
        multiply_rows(scores, queries + threadIdx.x / 32 * 16 * LINE, keys, lane);
        hide_outside(scores, key, length, q);
        if (dropout.key != 0 && key % 128 == 0) kept_of_rows(dropout, first + mine + g, head, key, lane, kept);
        float before[2] = {largest[0], largest[1]};
#pragma unroll
        for (u32 n = 0; n < TILE / 8; n++)
#pragma unroll
            for (u32 i = 0; i < 4; i++) largest[i / 2] = fmaxf(largest[i / 2], scores[n][i]);
        float offsets[2];
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            largest[half] = row_max(largest[half]);
            offsets[half] = largest[half] * factor;
            const float correction = power_of_two((before[half] - largest[half]) * factor);
            totals[half] *= correction;
#pragma unroll
            for (u32 c = 0; c < HEAD / 8; c++) {
                sums[c][2 * half] *= correction;
                sums[c][2 * half + 1] *= correction;
            }
        }
#pragma unroll
        for (u32 n = 0; n < TILE / 8; n++)
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                const float weight = power_of_two(scores[n][i] * factor - offsets[i / 2]);
                totals[i / 2] += weight;
                scores[n][i] = weight * factor_of(dropout, kept, key, n, i);
            }
        add_weighted(sums, scores, keys + TILE * LINE, lane);
    });
    totals[0] = row_sum(totals[0]);
    totals[1] = row_sum(totals[1]);
    const int there = (int)length - (int)mine;
    store_rows(out + (u64)(first + mine) * hidden + head * dim, hidden, there, dim, sums, 1.0f / totals[0], 1.0f / totals[1], lane);
    if (q == 0) {
        float* of_head = lse + (u64)head * tokens + first + mine;
        if ((int)g < there) of_head[g] = largest[0] * factor + log2f(totals[0]);
        if ((int)g + 8 < there) of_head[g + 8] = largest[1] * factor + log2f(totals[1]);
    }
}

// The gradient of queries, and delta: d_out . out of each row. Shared: 2 tiles, and two in each place. Threads: 128.
KERNEL(128) attention_backward_queries(const E* qkv, const E* out, const E* d_out, const float* lse, const uint4* tiles, E* d_qkv, float* delta,
                                       u32 tokens, u32 heads, u32 dim, float scale, Dropout dropout) {
    SHARED(E, queries);
    E *d_outs = queries + TILE * LINE, *passing = d_outs + TILE * LINE;
    const uint4 tile = tiles[blockIdx.x];
    const u32 first = tile.x, length = tile.y, start = tile.z, head = blockIdx.y, hidden = heads * dim;
    if (start >= length) return;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, mine = start + warp * 16, g = lane / 4, q = lane % 4;
    const u64 stride = 3 * hidden;
    const E* base = qkv + first * stride + head * dim;
    const int there = (int)length - (int)mine;
    const auto load = [&](u32 key, E* to) {
        load_tile(to, base + hidden + key * stride, stride, length - key, TILE, dim);
        load_tile(to + TILE * LINE, base + 2 * hidden + key * stride, stride, length - key, TILE, dim);
    };
    load_tile(queries, base + start * stride, stride, length - start, TILE, dim);
    load_tile(d_outs, d_out + (u64)(first + start) * hidden + head * dim, hidden, length - start, TILE, dim);
    load(0, passing);
    wait_for_copies();
    __syncthreads();
    float deltas[2], logs[2];
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        const u32 row = g + 8 * half;
        float sum = 0.0f;
        if ((int)row < there) {
            const E* mine_out = out + (u64)(first + mine + row) * hidden + head * dim;
            for (u32 column = q; column < dim; column += 4) sum += up(mine_out[column]) * up(d_outs[(warp * 16 + row) * LINE + column]);
        }
        deltas[half] = row_sum(sum);
        logs[half] = 0.0f;
        if ((int)row < there) {
            logs[half] = lse[(u64)head * tokens + first + mine + row];
            if (q == 0) delta[(u64)head * tokens + first + mine + row] = deltas[half];
        }
    }
    const float factor = scale * LOG2_E;
    float sums[HEAD / 8][4];
    u32 kept[2] = {0, 0};
    clear(sums);
    each_tile(length, passing, 2 * TILE * LINE, load, [&](u32 key, const E* keys) {
        const E* values = keys + TILE * LINE;
        if (dropout.key != 0 && key % 128 == 0) kept_of_rows(dropout, first + mine + g, head, key, lane, kept);
#pragma unroll 1
        for (u32 part = 0; part < TILE; part += STEP) {
            float scores[STEP / 8][4], d_weights[STEP / 8][4];
            clear(scores);
            clear(d_weights);
            multiply_rows(scores, queries + warp * 16 * LINE, keys + part * LINE, lane);
            multiply_rows(d_weights, d_outs + warp * 16 * LINE, values + part * LINE, lane);
            hide_outside(scores, key + part, length, q);
#pragma unroll
            for (u32 n = 0; n < STEP / 8; n++)
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    const float probability = power_of_two(scores[n][i] * factor - logs[i / 2]);
                    scores[n][i] = probability * (d_weights[n][i] * factor_of(dropout, kept, key + part, n, i) - deltas[i / 2]) * scale;
                }
            add_weighted(sums, scores, keys + part * LINE, lane);
        }
    });
    store_rows(d_qkv + (first + mine) * stride + head * dim, stride, there, dim, sums, 1.0f, 1.0f, lane);
}

// The gradients of keys and values, after the queries' (it reads delta). Scores stand here with a row a key and a column a query. Shared: 2 KEYS lines, and in each
// place 2 TILE lines, then 2 TILE floats and 16 TILE bytes. Threads: 2 KEYS.
KERNEL(2 * KEYS, PLACES) attention_backward_keys(const E* qkv, const E* d_out, const float* lse, const float* delta, const uint4* tiles, E* d_qkv, u32 tokens,
                                                 u32 heads, u32 dim, float scale, Dropout dropout) {
    SHARED(E, keys);
    E *values = keys + KEYS * LINE, *passing = values + KEYS * LINE;
    const u32 place = 2 * TILE * LINE + (2 * sizeof(float) + 16) * TILE / sizeof(E);
    const uint4 tile = tiles[blockIdx.x];
    const u32 first = tile.x, length = tile.y, start = tile.z, head = blockIdx.y, hidden = heads * dim;
    if (start >= length) return;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, mine = start + warp * 16, g = lane / 4, q = lane % 4;
    const u64 stride = 3 * hidden;
    const E* base = qkv + first * stride + head * dim;
    const int there = (int)length - (int)mine;
    // Queries, d_outs, lse, delta, and what dropout keeps.
    const auto load = [&](u32 query, E* to) {
        load_tile(to, base + query * stride, stride, length - query, TILE, dim);
        load_tile(to + TILE * LINE, d_out + (u64)(first + query) * hidden + head * dim, hidden, length - query, TILE, dim);
        float* numbers = (float*)(to + 2 * TILE * LINE);
        const u64 at = (u64)head * tokens + first + query;
        for (u32 index = threadIdx.x; index < TILE; index += blockDim.x) {
            copy_4(numbers + index, lse + at + index, query + index < length);
            copy_4(numbers + TILE + index, delta + at + index, query + index < length);
        }
        u8* kept = (u8*)(numbers + 2 * TILE);
        if (dropout.key != 0)
            for (u32 index = threadIdx.x; index < TILE * 16; index += blockDim.x)
                kept[index] = (u8)kept_bits(dropout, first + query + index / 16, head, start / 128, index % 16);
    };
    load_tile(keys, base + hidden + start * stride, stride, length - start, KEYS, dim);
    load_tile(values, base + 2 * hidden + start * stride, stride, length - start, KEYS, dim);
    load(0, passing);
    const float factor = scale * LOG2_E;
    float d_keys[HEAD / 8][4], d_values[HEAD / 8][4];
    clear(d_keys);
    clear(d_values);
    each_tile(length, passing, place, load, [&](u32 query, const E* queries) {
        if (there <= 0) return;
        const E* d_outs = queries + TILE * LINE;
        const float *logs = (const float*)(d_outs + TILE * LINE), *deltas = logs + TILE;
        const u8* kept = (const u8*)(deltas + TILE);
#pragma unroll 1
        for (u32 part = 0; part < TILE; part += STEP) {
            float scores[STEP / 8][4], d_weights[STEP / 8][4];
            clear(scores);
            clear(d_weights);
            multiply_rows(scores, keys + warp * 16 * LINE, queries + part * LINE, lane);
            multiply_rows(d_weights, values + warp * 16 * LINE, d_outs + part * LINE, lane);
            // Behind the end of the sequence queries, d_outs, logs and deltas are zeros, and so is what they add.
#pragma unroll
            for (u32 n = 0; n < STEP / 8; n++)
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    const u32 column = part + 8 * n + 2 * q + i % 2, key = mine + g + i / 2 * 8;
                    float kept_factor = 1.0f;
                    if (dropout.key != 0) kept_factor = (kept[column * 16 + key % 16] >> (key % 128 / 16)) & 1 ? dropout.scale : 0.0f;
                    const float probability = power_of_two(scores[n][i] * factor - logs[column]);
                    d_weights[n][i] = probability * (d_weights[n][i] * kept_factor - deltas[column]) * scale;
                    scores[n][i] = probability * kept_factor;
                }
            add_weighted(d_values, scores, d_outs + part * LINE, lane);
            add_weighted(d_keys, d_weights, queries + part * LINE, lane);
        }
    });
    E* to = d_qkv + (first + mine) * stride + head * dim;
    store_rows(to + hidden, stride, there, dim, d_keys, 1.0f, 1.0f, lane);
    store_rows(to + 2 * hidden, stride, there, dim, d_values, 1.0f, 1.0f, lane);
}
