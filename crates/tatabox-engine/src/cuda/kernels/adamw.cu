// AdamW over all parameters at once (Loshchilov and Hutter 2019), as `torch.optim.AdamW` computes it, with the gradient norm and clipping before it. Parameters
// lie one after another, each from a multiple of 1024, zeros between them.

// partials[block] = sum of squares of this block's 8192 gradients.
KERNEL(256) squares(const float* gradients, u64 count, double* partials) {
    SHARED(double, sums);
    double total = 0.0;
    const u64 start = (u64)blockIdx.x * 8192;
    for (u32 step = 0; step < 8; step++) {
        const u64 at = start + step * 1024 + threadIdx.x * 4;
        if (at >= count) break;
        const float4 four = *(const float4*)(gradients + at);
        total += (double)(four.x * four.x + four.y * four.y + four.z * four.z + four.w * four.w);
    }
    sums[threadIdx.x] = total;
    __syncthreads();
    for (u32 half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) partials[blockIdx.x] = sums[0];
}

struct Step {
    float beta1, beta2, eps, weight_decay, lr, step_size, root;
    // Largest norm of the gradients; 0: as it is.
    float max_norm;
};

// norm[0] = norm of the gradients, norm[1] = what they are multiplied with. One block.
KERNEL(256) finish_norm(const double* partials, u32 count, const Step* step, float* norm) {
    SHARED(double, sums);
    double total = 0.0;
    for (u32 index = threadIdx.x; index < count; index += 256) total += partials[index];
    sums[threadIdx.x] = total;
    __syncthreads();
    for (u32 half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        norm[0] = (float)sqrt(sums[0]);
        // torch.nn.utils.clip_grad_norm_ divides by norm + 1e-6.
        norm[1] = step->max_norm > 0.0f ? fminf(step->max_norm / (norm[0] + 1e-6f), 1.0f) : 1.0f;
    }
}

// What is special about the parameter of a block.
struct Treatment {
    // Multiplies the learning rate; 0: the parameter is frozen.
    float rate;
    // 1 if weight decay applies, else 0.
    float decay;
};

// A block takes 1024 elements of one parameter. `rounded` (if any) is the bf16 copy.
KERNEL(256) adamw(float* weights, u16* rounded, const float* gradients, float* first, float* second, const Treatment* treatments, const Step* settings,
                  const float* norm) {
    const Treatment treatment = treatments[blockIdx.x];
    if (treatment.rate == 0.0f) return;
    const Step step = *settings;
    const u64 at = (u64)blockIdx.x * 1024 + threadIdx.x * 4;
    float4 w = *(float4*)(weights + at), m = *(float4*)(first + at), v = *(float4*)(second + at);
    const float4 g = *(const float4*)(gradients + at);
    const float scale = norm[1], keep = 1.0f - step.lr * treatment.rate * step.weight_decay * treatment.decay;
    float *ws = &w.x, *ms = &m.x, *vs = &v.x;
    const float gs[4] = {g.x, g.y, g.z, g.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float one = gs[i] * scale;
        ms[i] = step.beta1 * ms[i] + (1.0f - step.beta1) * one;
        vs[i] = step.beta2 * vs[i] + (1.0f - step.beta2) * one * one;
        ws[i] = ws[i] * keep - step.step_size * treatment.rate * ms[i] / (sqrtf(vs[i]) / step.root + step.eps);
    }
    *(float4*)(weights + at) = w;
    *(float4*)(first + at) = m;
    *(float4*)(second + at) = v;
    if (rounded != 0) {
        uint2 bits;
        bits.x = pack_bf16(w.x, w.y);
        bits.y = pack_bf16(w.z, w.w);
        *(uint2*)(rounded + at) = bits;
    }
}

// The bf16 copy of `count` numbers (a multiple of 4).
KERNEL(256) round_weights(const float* weights, u16* rounded, u64 count) {
    const u64 at = ((u64)blockIdx.x * 256 + threadIdx.x) * 4;
    if (at >= count) return;
    const float4 w = *(const float4*)(weights + at);
    uint2 bits;
    bits.x = pack_bf16(w.x, w.y);
    bits.y = pack_bf16(w.z, w.w);
    *(uint2*)(rounded + at) = bits;
}
