// Gradients of tables that rows were looked up in: rows of one key are added in their order, in pieces of limited length, without atomics.

// partials[piece] = sum of the rows order[start..end] of values. A warp a piece and 256 columns.
KERNEL(128) sum_pieces(const E* values, const u32* order, const uint2* pieces, u32 count, float* partials, u32 columns) {
    const u32 lane = threadIdx.x % 32, piece = blockIdx.x * 4 + threadIdx.x / 32, column = blockIdx.y * 256 + 8 * lane;
    const int left = (int)columns - (int)column;
    if (piece >= count || left <= 0) return;
    const bool whole = columns % 8 == 0;
    const uint2 range = pieces[piece];
    float totals[8];
#pragma unroll
    for (int i = 0; i < 8; i++) totals[i] = 0.0f;
    for (u32 at = range.x; at < range.y; at++) {
        float one[8];
        load8(values + (u64)order[at] * columns + column, left, whole, one);
#pragma unroll
        for (int i = 0; i < 8; i++) totals[i] += one[i];
    }
    store8(partials + (u64)piece * columns + column, left, whole, totals);
}

// table[key.x] += sum of partials[key.y .. key.z]. A warp a key and 256 columns; a key that is none stands for nothing.
KERNEL(128) add_pieces(const float* partials, const uint4* keys, u32 count, float* table, u32 columns) {
    const u32 lane = threadIdx.x % 32, index = blockIdx.x * 4 + threadIdx.x / 32, column = blockIdx.y * 256 + 8 * lane;
    const int left = (int)columns - (int)column;
    if (index >= count || left <= 0) return;
    const bool whole = columns % 8 == 0;
    const uint4 key = keys[index];
    if (key.x == NONE) return;
    float* row = table + (u64)key.x * columns + column;
    float totals[8];
#pragma unroll
    for (int i = 0; i < 8; i++) totals[i] = 0.0f;
    for (u32 piece = key.y; piece < key.z; piece++) {
        float one[8];
        load8(partials + (u64)piece * columns + column, left, whole, one);
#pragma unroll
        for (int i = 0; i < 8; i++) totals[i] += one[i];
    }
    float before[8];
    load8(row, left, whole, before);
#pragma unroll
    for (int i = 0; i < 8; i++) totals[i] += before[i];
    store8(row, left, whole, totals);
}
