// What stands between the encoder and the answers of examples: gradients of taken rows, dropout, pooling of the sequences of an example, losses of few outputs.

// d_x[row] = d_out[index[row]], zeros where the index is none; or added to what is there. A warp a row.
KERNEL(128) spread_rows(const E* d_out, const u32* index, u32 add, E* d_x, u32 rows, u32 columns) {
    const u32 lane = threadIdx.x % 32, row = blockIdx.x * 4 + threadIdx.x / 32;
    if (row >= rows) return;
    const bool whole = columns % 8 == 0;
    const u32 from = index[row];
    if (add && from == NONE) return;
    for (u32 first = 0; first < columns; first += 256) {
        const u32 column = first + 8 * lane;
        const int left = (int)columns - (int)column;
        E* at = d_x + (u64)row * columns + column;
        float values[8], before[8];
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = before[i] = 0.0f;
        if (from != NONE) load8(d_out + (u64)from * columns + column, left, whole, values);
        if (add) load8(at, left, whole, before);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] += before[i];
        store8(at, left, whole, values);
    }
}

// out = dropout(x). A warp a row.
KERNEL(128) drop_rows(const E* x, Dropout dropout, E* out, u32 rows, u32 columns) {
    const u32 lane = threadIdx.x % 32, row = blockIdx.x * 4 + threadIdx.x / 32;
    if (row >= rows) return;
    const bool whole = columns % 8 == 0;
    for (u32 first = 0; first < columns; first += 256) {
        const u32 column = first + 8 * lane;
        const int left = (int)columns - (int)column;
        float values[8];
        load8(x + (u64)row * columns + column, left, whole, values);
        drop8(dropout, row, first, lane, values);
        store8(out + (u64)row * columns + column, left, whole, values);
    }
}

// d_x = d_out f'(kept), eight a thread.
KERNEL(256) activate_backward(const E* d_out, const E* kept, E* d_x, u64 count, u32 function) {
    const u64 at = ((u64)blockIdx.x * 256 + threadIdx.x) * 8;
    if (at >= count) return;
    const int left = count - at < 8 ? (int)(count - at) : 8;
    float values[8], inner[8];
    load8(d_out + at, left, left == 8, values);
    load8(kept + at, left, left == 8, inner);
#pragma unroll
    for (int i = 0; i < 8; i++) values[i] *= slope(function, inner[i]);
    store8(d_x + at, left, left == 8, values);
}

// How the rows of an example become one.
#define MEAN 0
#define MAXIMUM 1
#define ATTENTION 2

// What each row of an example counts for, together 1. A warp; `scores` has room for every row.
DEVICE void shares(u32 pooling, const E* x, u32 start, u32 end, u32 columns, const float* vector, u32 lane, float* scores) {
    if (pooling != ATTENTION) {
        for (u32 row = start + lane; row < end; row += 32) scores[row - start] = 1.0f / (float)(end - start);
        __syncwarp();
        return;
    }
    float largest = -INFINITE, total = 0.0f;
    for (u32 row = start; row < end; row++) {
        float sum = 0.0f;
        for (u32 column = lane; column < columns; column += 32) sum += up(x[(u64)row * columns + column]) * vector[column];
        sum = warp_sum(sum);
        if (lane == 0) scores[row - start] = sum;
        largest = fmaxf(largest, sum);
    }
    __syncwarp();
    for (u32 row = start; row < end; row++) total += expf(scores[row - start] - largest);
    __syncwarp();
    for (u32 row = start + lane; row < end; row += 32) scores[row - start] = expf(scores[row - start] - largest) / total;
    __syncwarp();
}

// x [sequences, columns] to out [examples, columns]; an example without sequences gets zeros. A block (one warp) an example. `room` has two floats a sequence: an
// example may have more than shared memory has room for.
KERNEL(32) pool_forward(u32 pooling, const E* x, const u32* examples, const float* vector, E* out, float* room, u32 columns) {
    const u32 lane = threadIdx.x, start = examples[blockIdx.x], end = examples[blockIdx.x + 1];
    float* scores = room + 2 * start;
    if (pooling != MAXIMUM) shares(pooling, x, start, end, columns, vector, lane, scores);
    for (u32 column = lane; column < columns; column += 32) {
        float result = pooling == MAXIMUM && start < end ? -INFINITE : 0.0f;
        for (u32 row = start; row < end; row++) {
            const float value = up(x[(u64)row * columns + column]);
            if (pooling != MAXIMUM) result += scores[row - start] * value;
            else if (row == start || value > result) result = value;
        }
        out[(u64)blockIdx.x * columns + column] = down(result);
    }
}

// The gradient of x, and of the vector: partials [examples, columns]. `room` as in `pool_forward`.
KERNEL(32) pool_backward(u32 pooling, const E* x, const u32* examples, const float* vector, const E* d_out, E* d_x, float* partials, float* room,
                         u32 columns) {
    const u32 lane = threadIdx.x, start = examples[blockIdx.x], end = examples[blockIdx.x + 1], rows = end - start;
    const E* d = d_out + (u64)blockIdx.x * columns;
    float* scores = room + 2 * start;
    if (pooling == MAXIMUM) {
        for (u32 column = lane; column < columns; column += 32) {
            u32 best = start;
            for (u32 row = start; row < end; row++)
                if (up(x[(u64)row * columns + column]) > up(x[(u64)best * columns + column])) best = row;
            for (u32 row = start; row < end; row++) d_x[(u64)row * columns + column] = row == best ? d[column] : (E)0;
        }
        return;
    }
    shares(pooling, x, start, end, columns, vector, lane, scores);
    // Where the shares are fixed nothing flows through them.
    float* through = scores + rows;
    float mean = 0.0f;
    if (pooling == ATTENTION) {
        for (u32 row = start; row < end; row++) {
            float sum = 0.0f;
            for (u32 column = lane; column < columns; column += 32) sum += up(x[(u64)row * columns + column]) * up(d[column]);
            sum = warp_sum(sum);
            if (lane == 0) through[row - start] = sum;
            mean += scores[row - start] * sum;
        }
        __syncwarp();
        for (u32 row = lane; row < rows; row += 32) through[row] = scores[row] * (through[row] - mean);
        __syncwarp();
    }
    for (u32 column = lane; column < columns; column += 32) {
        float sum = 0.0f;
        for (u32 row = start; row < end; row++) {
            const u64 at = (u64)row * columns + column;
            float value = scores[row - start] * up(d[column]);
            if (pooling == ATTENTION) {
                value += through[row - start] * vector[column];
                sum += through[row - start] * up(x[at]);
            }
            d_x[at] = down(value);
        }
        if (pooling == ATTENTION) partials[(u64)blockIdx.x * columns + column] = sum;
    }
}

// What the outputs of a head are compared with.
#define CLASSES 0
#define LABELS 1
#define NUMBERS 2

// The loss of each row of logits [rows, width], of which `outputs` count, as src/graph.rs defines `Objective`; and its gradient, zeros in its padding. `weights` (if
// any) has one an output. A row whose label is none costs nothing. A warp a row.
KERNEL(128) row_losses(u32 objective, const float* logits, u32 width, u32 outputs, const u32* labels, const float* targets, const float* weights,
                       float smoothing, const float* scale, float* loss, E* gradient, u32 rows) {
    const u32 lane = threadIdx.x % 32, row = blockIdx.x * 4 + threadIdx.x / 32;
    if (row >= rows) return;
    const u32 label = labels[row];
    const float* mine = logits + (u64)row * width;
    const float* target = targets + (u64)row * outputs;
    const float spread = smoothing / (float)outputs;
    float log_total = 0.0f, all = 0.0f, sum = 0.0f;
    if (objective == CLASSES && label != NONE) {
        float largest = -INFINITE, total = 0.0f;
        for (u32 output = lane; output < outputs; output += 32) largest = fmaxf(largest, mine[output]);
        largest = warp_max(largest);
        for (u32 output = lane; output < outputs; output += 32) total += expf(mine[output] - largest);
        log_total = largest + logf(warp_sum(total));
        for (u32 output = lane; output < outputs; output += 32)
            all += (weights == 0 ? 1.0f : weights[output]) * (spread + (output == label ? 1.0f - smoothing : 0.0f));
        all = warp_sum(all);
    }
    for (u32 output = lane; output < width; output += 32) {
        float derivative = 0.0f;
        if (label != NONE && output < outputs) {
            const float value = mine[output], weight = weights == 0 ? 1.0f : weights[output];
            if (objective == CLASSES) {
                const float answer = weight * (spread + (output == label ? 1.0f - smoothing : 0.0f));
                sum += answer * (log_total - value);
                derivative = all * expf(value - log_total) - answer;
            } else if (objective == LABELS) {
                // -log sigmoid(x) and -log sigmoid(-x), without overflow on either side.
                const float tail = log1pf(expf(-fabsf(value))), sigmoid = 1.0f / (1.0f + expf(-value));
                const float no = fmaxf(value, 0.0f) + tail, yes = fmaxf(-value, 0.0f) + tail;
                sum += weight * target[output] * yes + (1.0f - target[output]) * no;
                derivative = (1.0f - target[output]) * sigmoid - weight * target[output] * (1.0f - sigmoid);
            } else {
                const float error = value - target[output];
                sum += error * error;
                derivative = 2.0f * error;
            }
        }
        if (gradient != 0) gradient[(u64)row * width + output] = down(*scale * derivative);
    }
    sum = warp_sum(sum);
    if (lane == 0) loss[row] = sum;
}
