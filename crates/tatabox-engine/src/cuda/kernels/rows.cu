// What works row by row: embeddings, LayerNorm with its residual and dropout, GELU, gathering, cross-entropy. [rows, columns], row-major.

// A row kept in shared memory by the lanes that own it: the eight numbers of a lane lie 32 apart, so that no two lanes meet in a bank.
DEVICE u32 own(u32 first, u32 i, u32 lane) { return first + i * 32 + lane; }

// The column of an index of that layout.
DEVICE u32 column_of(u32 index) { return index / 256 * 256 + index % 32 * 8 + index % 256 / 32; }

// From a row in shared memory: mean and 1/std into stats, and `dropout(norm(row))` into out.
DEVICE void normalize(const float* kept, u32 row, u32 columns, u32 lane, float sum, const float* weight, const float* bias, float eps,
                      const Dropout& dropout, float* stats, E* out) {
    const bool whole = columns % 8 == 0;
    const float mean = warp_sum(sum) / (float)columns;
    float squares = 0.0f;
    for (u32 first = 0; first < columns; first += 256) {
        const int left = (int)columns - (int)(first + 8 * lane);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float apart = kept[own(first, i, lane)] - mean;
            if (i < left) squares += apart * apart;
        }
    }
    const float rstd = 1.0f / sqrtf(warp_sum(squares) / (float)columns + eps);
    if (lane == 0) {
        stats[2 * row] = mean;
        stats[2 * row + 1] = rstd;
    }
    for (u32 first = 0; first < columns; first += 256) {
        const u32 column = first + 8 * lane;
        const int left = (int)columns - (int)column;
        float values[8], gain[8], shift[8];
        load8(weight + column, left, whole, gain);
        load8(bias + column, left, whole, shift);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = (kept[own(first, i, lane)] - mean) * rstd * gain[i] + shift[i];
        drop8(dropout, row, first, lane, values);
        store8(out + (u64)row * columns + column, left, whole, values);
    }
}

// sum = word[id] + position[p] + token_type[t]; out = dropout(norm(sum)). A warp a row; `blockDim.x / 32` rows of `padded(columns)` floats shared.
KERNEL(128) embeddings_forward(const float* word, const float* position, const float* token_type, const u32* ids, const u32* positions,
                               const u32* types, const float* weight, const float* bias, float eps, Dropout dropout, E* sum, float* stats, E* out,
                               u32 rows, u32 columns) {
    SHARED(float, shared);
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = blockIdx.x * (blockDim.x / 32) + warp;
    if (row >= rows) return;
    const bool whole = columns % 8 == 0;
    float* kept = shared + warp * padded(columns);
    const u64 of_word = (u64)ids[row] * columns, of_position = (u64)positions[row] * columns, of_type = (u64)types[row] * columns;
    float total = 0.0f;
    for (u32 first = 0; first < columns; first += 256) {
        const u32 column = first + 8 * lane;
        const int left = (int)columns - (int)column;
        float values[8], other[8];
        load8(word + of_word + column, left, whole, values);
        load8(position + of_position + column, left, whole, other);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] += other[i];
        load8(token_type + of_type + column, left, whole, other);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            // What the backward will read is what is normalised here.
            values[i] = up(down(values[i] + other[i]));
            kept[own(first, i, lane)] = values[i];
            total += values[i];
        }
        store8(sum + (u64)row * columns + column, left, whole, values);
    }
    normalize(kept, row, columns, lane, total, weight, bias, eps, dropout, stats, out);
}

// x = residual + dropout(x), in place; out = norm(x). Without a residual x stays as it is.
KERNEL(128) norm_forward(E* x, const E* residual, const float* weight, const float* bias, float eps, Dropout dropout, float* stats, E* out, u32 rows,
                         u32 columns) {
    SHARED(float, shared);
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = blockIdx.x * (blockDim.x / 32) + warp;
    if (row >= rows) return;
    const bool whole = columns % 8 == 0;
    float* kept = shared + warp * padded(columns);
    float total = 0.0f;
    for (u32 first = 0; first < columns; first += 256) {
        const u32 column = first + 8 * lane;
        const int left = (int)columns - (int)column;
        const u64 at = (u64)row * columns + column;
        float values[8];
        load8(x + at, left, whole, values);
        drop8(dropout, row, first, lane, values);
        if (residual != 0) {
            float other[8];
            load8(residual + at, left, whole, other);
#pragma unroll
            for (int i = 0; i < 8; i++) values[i] = up(down(values[i] + other[i]));
            store8(x + at, left, whole, values);
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
            kept[own(first, i, lane)] = values[i];
            total += values[i];
        }
    }
    const Dropout nothing = {0, 0, 0.0f};
    normalize(kept, row, columns, lane, total, weight, bias, eps, nothing, stats, out);
}

// From d_out, dropped by `before`: the gradient of what was normalised, into d_residual (replaced, or added to), and dropped by `after` into d_x (which
// may be d_out). Sums over this block's rows of the gradients of gain and bias: partials [blocks, 2, columns]. Shared, a warp: 3 rows.
KERNEL(128) norm_backward(const E* x, const float* stats, const E* d_out, const float* weight, Dropout before, Dropout after, E* d_x, E* d_residual,
                          u32 add, float* partials, u32 rows, u32 columns, u32 rows_a_block) {
    SHARED(float, shared);
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32, width = padded(columns);
    const bool whole = columns % 8 == 0;
    float* d_weight = shared + warp * 3 * width;
    float* d_bias = d_weight + width;
    float* kept = d_bias + width;
    for (u32 index = lane; index < width; index += 32) d_weight[index] = d_bias[index] = 0.0f;
    __syncwarp();
    const u32 start = blockIdx.x * rows_a_block, end = min(start + rows_a_block, rows);
    for (u32 row = start + warp; row < end; row += warps) {
        const float mean = stats[2 * row], rstd = stats[2 * row + 1];
        float sum = 0.0f, sum_hat = 0.0f;
        for (u32 first = 0; first < columns; first += 256) {
            const u32 column = first + 8 * lane;
            const int left = (int)columns - (int)column;
            const u64 at = (u64)row * columns + column;
            float d[8], values[8], gain[8];
            load8(d_out + at, left, whole, d);
            drop8(before, row, first, lane, d);
            load8(x + at, left, whole, values);
            load8(weight + column, left, whole, gain);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                kept[own(first, i, lane)] = d[i];
                sum += d[i] * gain[i];
                sum_hat += d[i] * gain[i] * (values[i] - mean) * rstd;
            }
        }
        const float mean_d = warp_sum(sum) / (float)columns, mean_d_hat = warp_sum(sum_hat) / (float)columns;
        for (u32 first = 0; first < columns; first += 256) {
            const u32 column = first + 8 * lane;
            const int left = (int)columns - (int)column;
            const u64 at = (u64)row * columns + column;
            float d[8], values[8], gain[8];
            load8(x + at, left, whole, values);
            load8(weight + column, left, whole, gain);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const u32 index = own(first, i, lane);
                const float hat = i < left ? (values[i] - mean) * rstd : 0.0f, one = kept[index];
                d_weight[index] += one * hat;
                d_bias[index] += one;
                d[i] = rstd * (one * gain[i] - mean_d - hat * mean_d_hat);
            }
            if (d_residual != 0) {
                float total[8];
                if (add) {
                    load8(d_residual + at, left, whole, total);
                } else {
#pragma unroll
                    for (int i = 0; i < 8; i++) total[i] = 0.0f;
                }
#pragma unroll
                for (int i = 0; i < 8; i++) total[i] += d[i];
                store8(d_residual + at, left, whole, total);
            }
            drop8(after, row, first, lane, d);
            store8(d_x + at, left, whole, d);
        }
    }
    __syncthreads();
    float* partial = partials + (u64)blockIdx.x * 2 * columns;
    for (u32 index = threadIdx.x; index < width; index += blockDim.x) {
        const u32 column = column_of(index);
        if (column >= columns) continue;
        float of_weight = 0.0f, of_bias = 0.0f;
        for (u32 one = 0; one < warps; one++) {
            of_weight += shared[one * 3 * width + index];
            of_bias += shared[one * 3 * width + width + index];
        }
        partial[column] = of_weight;
        partial[columns + column] = of_bias;
    }
}

struct Targets {
    float* at[2];
};

// targets[part][c] += sum over partials of partials[p, part, c], in their order. Blocks: 32 columns each, a row of blocks a part.
KERNEL(256) add_partials(const float* partials, u32 count, u32 columns, Targets targets) {
    SHARED(float, sums);
    const u32 lane = threadIdx.x % 32, group = threadIdx.x / 32, column = blockIdx.x * 32 + lane, part = blockIdx.y, parts = gridDim.y;
    float sum = 0.0f;
    if (column < columns)
        for (u32 one = group; one < count; one += 8) sum += partials[((u64)one * parts + part) * columns + column];
    sums[group * 32 + lane] = sum;
    __syncthreads();
    if (group == 0 && column < columns && targets.at[part] != 0) {
        float total = 0.0f;
        for (u32 one = 0; one < 8; one++) total += sums[one * 32 + lane];
        targets.at[part][column] += total;
    }
}

DEVICE float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678f)); }
DEVICE float gelu_derivative(float x) { return 0.5f * (1.0f + erff(x * 0.70710678f)) + x * 0.39894228f * expf(-0.5f * x * x); }

// Functions of one number: 0 is the exact GELU (x times the normal distribution function), 1 the hyperbolic tangent. The derivative of GELU is of what
// went in, that of tanh of what came out.
DEVICE float activate(u32 function, float x) { return function == 0 ? gelu(x) : tanhf(x); }
DEVICE float slope(u32 function, float kept) { return function == 0 ? gelu_derivative(kept) : 1.0f - kept * kept; }

// out = f(in), eight a thread. `out` may be `in`.
KERNEL(256) activate_forward(const E* in, E* out, u64 count, u32 function) {
    const u64 at = ((u64)blockIdx.x * 256 + threadIdx.x) * 8;
    if (at >= count) return;
    const int left = count - at < 8 ? (int)(count - at) : 8;
    float values[8];
    load8(in + at, left, left == 8, values);
#pragma unroll
    for (int i = 0; i < 8; i++) values[i] = activate(function, values[i]);
    store8(out + at, left, left == 8, values);
}

// Sums of columns over this block's rows: partials [blocks of rows, columns]. With `kept`, the values are first multiplied in place by f'(kept). Blocks: 256
// columns by `rows_a_block` rows.
KERNEL(256) column_sums(E* values, const E* kept, u32 function, float* partials, u32 rows, u32 columns, u32 rows_a_block) {
    SHARED(float, sums);
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 256 + 8 * lane;
    const int left = (int)columns - (int)column;
    const bool whole = columns % 8 == 0;
    float totals[8];
#pragma unroll
    for (int i = 0; i < 8; i++) totals[i] = 0.0f;
    const u32 start = blockIdx.y * rows_a_block, end = min(start + rows_a_block, rows);
    if (left > 0) {
        for (u32 row = start + warp; row < end; row += 8) {
            const u64 at = (u64)row * columns + column;
            float one[8];
            load8(values + at, left, whole, one);
            if (kept != 0) {
                float inner[8];
                load8(kept + at, left, whole, inner);
#pragma unroll
                for (int i = 0; i < 8; i++) one[i] = up(down(one[i] * slope(function, inner[i])));
                store8(values + at, left, whole, one);
            }
#pragma unroll
            for (int i = 0; i < 8; i++) totals[i] += one[i];
        }
    }
#pragma unroll
    for (int i = 0; i < 8; i++) sums[warp * 256 + i * 32 + lane] = totals[i];
    __syncthreads();
    const u32 mine = blockIdx.x * 256 + column_of(threadIdx.x);
    if (mine < columns) {
        float total = 0.0f;
        for (u32 one = 0; one < 8; one++) total += sums[one * 256 + threadIdx.x];
        partials[(u64)blockIdx.y * columns + mine] = total;
    }
}

// out[row] = x[index[row]], zeros where the index is none. A warp a row.
KERNEL(128) gather_rows(const E* x, const u32* index, E* out, u32 rows, u32 columns) {
    const u32 lane = threadIdx.x % 32, row = blockIdx.x * 4 + threadIdx.x / 32;
    if (row >= rows) return;
    const bool whole = columns % 8 == 0;
    const u32 from = index[row];
    for (u32 first = 0; first < columns; first += 256) {
        const u32 column = first + 8 * lane;
        const int left = (int)columns - (int)column;
        float values[8];
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = 0.0f;
        if (from != NONE) load8(x + (u64)from * columns + column, left, whole, values);
        store8(out + (u64)row * columns + column, left, whole, values);
    }
}

// loss[row] = log sum exp(logits[row]) - logits[row, label] in nats; gradient[row] = scale (softmax - one hot), zeros in its padding. A row without a label
// costs nothing and has no gradient. A block a row; `right` (if any) becomes 1 where the label has the largest logit.
KERNEL(256) cross_entropy(const float* logits, u32 width, const u32* labels, u32 vocabulary, const float* scale, float* loss, E* gradient) {
    SHARED(float, shared);
    const u32 row = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32, label = labels[row];
    const float* mine = logits + (u64)row * width;
    float largest = -INFINITE, total = 0.0f;
    if (label != NONE) {
        for (u32 column = threadIdx.x; column < vocabulary; column += 256) {
            const float value = mine[column];
            if (value > largest) {
                total *= expf(largest - value);
                largest = value;
            }
            total += expf(value - largest);
        }
    }
    const float warp_largest = warp_max(largest);
    const float warp_total = warp_sum(largest == -INFINITE ? 0.0f : total * expf(largest - warp_largest));
    if (lane == 0) {
        shared[warp] = warp_largest;
        shared[8 + warp] = warp_total;
    }
    __syncthreads();
    largest = shared[0];
    for (int one = 1; one < 8; one++) largest = fmaxf(largest, shared[one]);
    total = 0.0f;
    for (int one = 0; one < 8; one++) total += shared[one] == -INFINITE ? 0.0f : shared[8 + one] * expf(shared[one] - largest);
    if (threadIdx.x == 0) loss[row] = label == NONE ? 0.0f : largest + logf(total) - mine[label];
    if (gradient == 0) return;
    const float factor = label == NONE ? 0.0f : *scale / total;
    for (u32 column = threadIdx.x; column < width; column += 256) {
        float value = 0.0f;
        if (label != NONE && column < vocabulary) {
            value = expf(mine[column] - largest) * factor;
            if (column == label) value -= *scale;
        }
        gradient[(u64)row * width + column] = down(value);
    }
}

// The sum, by one block, in a fixed order.
KERNEL(256) sum_losses(const float* losses, u32 count, double* sum) {
    SHARED(double, sums);
    double total = 0.0;
    for (u32 index = threadIdx.x; index < count; index += 256) total += (double)losses[index];
    sums[threadIdx.x] = total;
    __syncthreads();
    for (u32 half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) *sum = sums[0];
}
