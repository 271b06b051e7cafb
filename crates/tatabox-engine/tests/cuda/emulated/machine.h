// The kernels of src/cuda/kernels compiled for the processor: this stands in for machine.cu and for what NVRTC knows by itself. A thread of a block is a fiber
// with a stack of its own; blocks run one after another. Fibers change hands at barriers and warp operations only, in an order that is different each time, so
// that a missing barrier shows; threads that wait for each other for ever end the program. Shared memory begins as NaN, and what lies behind it is guarded.

#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <vector>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;

#define KERNEL(...) extern "C" void
#define DEVICE static inline
#define SHARED(type, name) type* name = (type*)emulated::shared

struct Dim { u32 x, y, z; };
static Dim threadIdx, blockIdx, blockDim, gridDim;
struct alignas(8) uint2 { u32 x, y; };
struct alignas(16) uint4 { u32 x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };

namespace emulated {
const size_t STACK = 256 << 10;
const size_t GUARD = 64;
const int WARP = 32;

struct Group {
    u32 size = 0, arrived = 0, generation = 0;
};

// What the lanes of a warp bring to an operation, and what they take from it.
struct Warp {
    Group group;
    u32 live = 0;
    u64 brought[WARP][12], taken[WARP][4];
};

// A copy to shared memory that nobody has waited for yet.
struct Copy {
    void* to;
    const void* from;
    u32 bytes;
};

struct Fiber {
    ucontext_t context;
    jmp_buf jump;
    bool started, done;
    std::vector<Copy> copies;
};

static std::vector<Fiber> fibers;
static std::vector<u8*> stacks;
static std::vector<Warp> warps;
static Group block;
static u32 current;
static u64 progress;
static jmp_buf scheduler;
static const std::function<void()>* kernel;
alignas(128) static u8 shared[256 << 10];

static void give_up(const char* why) {
    fprintf(stderr, "emulated GPU: %s (block %u %u, thread %u)\n", why, blockIdx.x, blockIdx.y, current);
    abort();
}

static void yield() {
    if (_setjmp(fibers[current].jump) == 0) _longjmp(scheduler, 1);
}

template <class Last> static void meet(Group& group, Last last) {
    const u32 generation = group.generation;
    if (++group.arrived == group.size) {
        last();
        group.arrived = 0;
        group.generation++;
        progress++;
    } else {
        while (group.generation == generation) yield();
    }
}

static Warp& warp() { return warps[current / WARP]; }
static u32 lane() { return current % WARP; }

// All 32 lanes meet; the last to come calls `work`.
template <class Work> static void together(Work work) {
    Warp& mine = warp();
    if (mine.live != WARP) give_up("a warp operation, but some lanes of the warp have left the kernel");
    meet(mine.group, [&] { work(mine); });
}

static void run_fiber() {
    (*kernel)();
    if (!fibers[current].copies.empty()) give_up("a copy that nobody waits for");
    fibers[current].done = true;
    progress++;
    warp().live--;
    warp().group.size--;
    if (--block.size == block.arrived && block.arrived > 0) {
        block.arrived = 0;
        block.generation++;
    }
    _longjmp(scheduler, 1);
}

static void run_block(u32 threads, u32 shared_bytes) {
    static u32 turn = 1;
    memset(shared, 0xff, sizeof(shared));
    block = Group();
    block.size = threads;
    warps.assign((threads + WARP - 1) / WARP, Warp());
    fibers.resize(threads);
    while (stacks.size() < threads) stacks.push_back((u8*)malloc(STACK));
    for (u32 thread = 0; thread < threads; thread++) {
        fibers[thread].started = fibers[thread].done = false;
        warps[thread / WARP].live++;
        warps[thread / WARP].group.size++;
    }
    volatile u32 left = threads;
    while (left > 0) {
        turn = turn * 1664525 + 1013904223;
        const u32 stride = turn >> 8 | 1, offset = turn >> 16;
        const u64 before = progress;
        for (volatile u32 index = 0; index < threads; index = index + 1) {
            current = (index * stride + offset) % threads;
            Fiber& fiber = fibers[current];
            if (fiber.done) continue;
            threadIdx = {current, 0, 0};
            if (_setjmp(scheduler) == 0) {
                if (fiber.started) _longjmp(fiber.jump, 1);
                fiber.started = true;
                getcontext(&fiber.context);
                fiber.context.uc_stack.ss_sp = stacks[current];
                fiber.context.uc_stack.ss_size = STACK;
                makecontext(&fiber.context, run_fiber, 0);
                setcontext(&fiber.context);
            }
            if (fibers[current].done) left = left - 1;
        }
        if (progress == before && left > 0) give_up("threads wait for each other");
    }
    for (size_t at = shared_bytes; at < shared_bytes + GUARD; at++)
        if (shared[at] != 0xff) give_up("a write behind shared memory");
}

static void launch(const std::function<void()>& work, Dim grid, u32 threads, u32 shared_bytes) {
    if (threads % WARP != 0) give_up("a block that is no whole number of warps");
    if (shared_bytes + GUARD > sizeof(shared)) give_up("too much shared memory");
    kernel = &work;
    gridDim = grid;
    blockDim = {threads, 1, 1};
    // No order of blocks may be counted on: every second launch begins with the last one.
    static bool backwards;
    backwards = !backwards;
    const u64 blocks = (u64)grid.x * grid.y;
    for (u64 index = 0; index < blocks; index++) {
        const u64 one = backwards ? blocks - 1 - index : index;
        blockIdx = {(u32)(one % grid.x), (u32)(one / grid.x), 0};
        run_block(threads, shared_bytes);
    }
}

struct Entry {
    const char* name;
    u32 threads;
    std::function<void()> (*bind)(void**);
};

template <class... A, size_t... I> static std::function<void()> bind_with(void (*function)(A...), void** params, std::index_sequence<I...>) {
    std::tuple<A...> copies{*(A*)params[I]...};
    return [=] { function(std::get<I>(copies)...); };
}

template <class... A> static std::function<void()> bind(void (*function)(A...), void** params) {
    return bind_with(function, params, std::index_sequence_for<A...>());
}

template <class To, class From> static To bits(From from) {
    static_assert(sizeof(To) >= sizeof(From), "");
    To to{};
    memcpy((void*)&to, &from, sizeof(From));
    return to;
}

template <class T> static T narrow(u64 word) {
    T to;
    memcpy(&to, &word, sizeof(T));
    return to;
}

template <class T> static T shuffle(T value, u32 from) {
    Warp& mine = warp();
    const u32 me = lane();
    mine.brought[me][0] = bits<u64>(value);
    mine.brought[me][1] = from;
    together([](Warp& warp) {
        for (int one = 0; one < WARP; one++) warp.taken[one][0] = warp.brought[warp.brought[one][1]][0];
    });
    return narrow<T>(mine.taken[me][0]);
}

static float of_bf16(u16 value) { return bits<float>((u32)value << 16); }

static void matrices(u32 (&out)[4], const u16* row, bool transposed) {
    Warp& mine = warp();
    const u32 me = lane();
    if ((uintptr_t)row % 16 != 0) give_up("a row of a matrix that is not aligned to 16 bytes");
    mine.brought[me][0] = (u64)(uintptr_t)row;
    mine.brought[me][1] = transposed;
    together([](Warp& warp) {
        for (int one = 0; one < WARP; one++)
            for (int matrix = 0; matrix < 4; matrix++) {
                u32 word = 0;
                for (int half = 0; half < 2; half++) {
                    int line = one / 4, column = one % 4 * 2 + half;
                    if (warp.brought[one][1]) std::swap(line, column);
                    word |= (u32)((const u16*)(uintptr_t)warp.brought[matrix * 8 + line][0])[column] << (16 * half);
                }
                warp.taken[one][matrix] = word;
            }
    });
    for (int matrix = 0; matrix < 4; matrix++) out[matrix] = (u32)mine.taken[me][matrix];
}
}  // namespace emulated

static inline void __syncthreads() { emulated::meet(emulated::block, [] {}); }
static inline void __syncwarp() { emulated::together([](emulated::Warp&) {}); }
template <class T> static inline T __shfl_sync(u32, T value, int from) { return emulated::shuffle(value, from); }
template <class T> static inline T __shfl_xor_sync(u32, T value, int mask) { return emulated::shuffle(value, emulated::lane() ^ mask); }
static inline u32 __ballot_sync(u32, int vote) {
    emulated::Warp& mine = emulated::warp();
    const u32 me = emulated::lane();
    mine.brought[me][0] = vote != 0;
    emulated::together([](emulated::Warp& warp) {
        u64 votes = 0;
        for (int one = 0; one < emulated::WARP; one++) votes |= warp.brought[one][0] << one;
        for (int one = 0; one < emulated::WARP; one++) warp.taken[one][0] = votes;
    });
    return (u32)mine.taken[me][0];
}
static inline u32 __umulhi(u32 a, u32 b) { return (u32)(((u64)a * b) >> 32); }
static inline float __uint_as_float(u32 word) { return emulated::bits<float>(word); }
static inline u32 min(u32 a, u32 b) { return a < b ? a : b; }

// machine.cu, in plain words.
namespace emulated {
// Until it is waited for there is NaN: neither what was there before may be read, nor what comes.
static void copy(void* to, const void* from, u32 bytes, bool there) {
    if ((uintptr_t)to % bytes != 0 || (there && (uintptr_t)from % bytes != 0)) give_up("a copy at an address that is not aligned");
    memset(to, 0xff, bytes);
    fibers[current].copies.push_back({to, there ? from : nullptr, bytes});
}
}  // namespace emulated
DEVICE void copy_16(void* to, const void* from, bool there) { emulated::copy(to, from, 16, there); }
DEVICE void copy_4(void* to, const void* from, bool there) { emulated::copy(to, from, 4, there); }
DEVICE void wait_for_copies() {
    std::vector<emulated::Copy>& copies = emulated::fibers[emulated::current].copies;
    for (const emulated::Copy& one : copies) {
        if (one.from) memcpy(one.to, one.from, one.bytes);
        else memset(one.to, 0, one.bytes);
    }
    copies.clear();
}
DEVICE u32 round_bf16(float value) {
    const u32 word = emulated::bits<u32>(value);
    if ((word & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (word + 0x7fff + (word >> 16 & 1)) >> 16;
}
DEVICE u32 pack_bf16(float low, float high) { return round_bf16(low) | round_bf16(high) << 16; }
DEVICE float power_of_two(float x) { return exp2f(x); }
DEVICE void load_matrices(u32 (&out)[4], const u16* row) { emulated::matrices(out, row, false); }
DEVICE void load_transposed(u32 (&out)[4], const u16* row) { emulated::matrices(out, row, true); }
DEVICE void multiply_16_8_16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    using namespace emulated;
    Warp& mine = warp();
    const u32 me = lane();
    for (int i = 0; i < 4; i++) {
        mine.brought[me][i] = a[i];
        mine.brought[me][4 + i] = bits<u32>(d[i]);
    }
    mine.brought[me][8] = b0;
    mine.brought[me][9] = b1;
    together([](Warp& warp) {
        float left[16][16], right[16][8];
        for (int one = 0; one < WARP; one++)
            for (int half = 0; half < 2; half++) {
                const int g = one / 4, q = one % 4 * 2 + half;
                for (int i = 0; i < 4; i++) left[g + i % 2 * 8][q + i / 2 * 8] = of_bf16((u16)(warp.brought[one][i] >> 16 * half));
                for (int i = 0; i < 2; i++) right[q + i * 8][g] = of_bf16((u16)(warp.brought[one][8 + i] >> 16 * half));
            }
        for (int one = 0; one < WARP; one++)
            for (int i = 0; i < 4; i++) {
                const int row = one / 4 + i / 2 * 8, column = one % 4 * 2 + i % 2;
                float sum = bits<float>((u32)warp.brought[one][4 + i]);
                for (int k = 0; k < 16; k++) sum += left[row][k] * right[k][column];
                warp.taken[one][i] = bits<u32>(sum);
            }
    });
    for (int i = 0; i < 4; i++) d[i] = bits<float>((u32)mine.taken[me][i]);
}
