// What only the GPU itself can do, and the names of its number types. A test compiles the other files of this folder for the processor, and
// brings its own version of this one (tests/cuda/emulated/machine.h).

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// A kernel of at most so many threads a block; where a second number stands, so many blocks shall have room on a multiprocessor.
#define KERNEL(...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__)
#define DEVICE __device__ __forceinline__
// The shared memory that a launch asked for.
#define SHARED(type, name) extern __shared__ __align__(128) unsigned char dynamic_shared[]; type* name = (type*)dynamic_shared

// Two numbers rounded to bf16, ties to even; `low` in the low half.
DEVICE u32 pack_bf16(float low, float high) {
    u32 packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// 2^x, relative error about 2e-7.
DEVICE float power_of_two(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}

// d += a b on a warp's tensor core: a [16, 16], b [16, 8], bf16; d [16, 8], f32. With g = lane / 4 and q = lane % 4 a lane holds
// a: (g, 2q..), (g + 8, 2q..), (g, 2q + 8..), (g + 8, 2q + 8..); b: (2q.., g), (2q + 8.., g); d: (g, 2q), (g, 2q + 1), (g + 8, 2q), (g + 8, 2q + 1).
DEVICE void multiply_16_8_16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four matrices of 8 x 8 bf16 from shared memory; lanes 8 i .. 8 i + 7 bring the addresses of the rows of matrix i. A lane gets elements
// (lane / 4, 2 (lane % 4)..) of each.
DEVICE void load_matrices(u32 (&out)[4], const u16* row) {
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
        : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(address) : "memory");
}

// The same, each matrix transposed.
DEVICE void load_transposed(u32 (&out)[4], const u16* row) {
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
        : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(address) : "memory");
}

// Copies 16 bytes, or 4, to shared memory while the thread goes on; zeros, and no look at `from`, where it is not `there`. See `wait_for_copies`.
DEVICE void copy_16(void* to, const void* from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
        :: "r"((u32)__cvta_generic_to_shared(to)), "l"(__cvta_generic_to_global(from)), "r"(there ? 16 : 0) : "memory");
}

DEVICE void copy_4(void* to, const void* from, bool there) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
        :: "r"((u32)__cvta_generic_to_shared(to)), "l"(__cvta_generic_to_global(from)), "r"(there ? 4 : 0) : "memory");
}

// What this thread copied is there afterwards; what others copied, after a barrier that they reach later than this.
DEVICE void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }
