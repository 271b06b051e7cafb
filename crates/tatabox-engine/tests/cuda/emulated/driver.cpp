// A GPU for tests where there is none: the functions of libcuda, NVRTC and cuBLASLt that the engine calls, on the processor. NVRTC compiles with the C++ compiler
// ($CXX or c++), kernels run as machine.h says. Work waits in its stream until someone waits for it, and goes no further than that one asked, so that a missing
// wait shows; memory of the card begins as NaN and ends at a page that nobody may touch. Calls want a context on their thread, and are refused while launches
// are recorded, where the driver may ask and refuse.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#ifndef MACHINE
#error "MACHINE must be the path of machine.h"
#endif

typedef uint32_t u32;
typedef unsigned long long u64;
struct Dim { u32 x, y, z; };
typedef std::function<void()> Work;
typedef std::vector<Work> Works;

enum { SUCCESS = 0, INVALID = 1, OUT_OF_MEMORY = 2, NO_CONTEXT = 201, FAILED = 700, NOT_FOUND = 500, NOT_READY = 600, TOO_MANY_THREADS = 701, CAPTURING = 900, SPOILT_CAPTURE = 901 };

// What a cache on disk keeps of kernels and algorithms is of one version of this emulation: to be raised with what it compiles, or calls an algorithm.
const int EMULATION = 1;

// Threads share the card; one at a time is in here.
static std::recursive_mutex turn;
typedef std::lock_guard<std::recursive_mutex> Turn;
struct Stream {
    std::deque<Work> waiting;
    u64 given = 0, done = 0;
};
// What a thread records, from which stream; and whether it did meanwhile what must not be done then.
static thread_local Works* capture;
static thread_local Stream* captured;
static thread_local bool spoilt;
// Whether this thread has made the card's context its own.
static thread_local bool current;
// What tests ask of this card, each thread for itself: bytes that it has taken, questions to cuBLASLt, and whether copies from the card fail.
static thread_local u64 taken, asked;
static thread_local bool broken;
// Every thread has a card's memory for itself, so that a test that fills it takes no room from others; what it has taken counts as its own wherever it is given back.
struct Allocation {
    size_t bytes;
    std::shared_ptr<size_t> of;
};
static std::map<u64, Allocation> allocations;
static thread_local std::shared_ptr<size_t> used = std::make_shared<size_t>(0);

static void stop(const char* what) {
    fprintf(stderr, "emulated GPU: %s\n", what);
    abort();
}

#define NEEDS_CONTEXT \
    if (!current) return NO_CONTEXT
// Who gives a thing back looks at no answer.
#define GIVES_BACK(thing) \
    if (!current) stop(thing " is given back by a thread without a context")
#define NOT_IN_CAPTURE \
    if (capture) return spoilt = true, CAPTURING

static size_t memory_size() {
    const char* text = getenv("TATABOX_EMULATED_MEMORY");
    return text ? strtoull(text, 0, 10) : size_t(4) << 30;
}

static void enqueue(void* where, Work work) {
    Turn mine(turn);
    Stream* stream = (Stream*)where;
    if (!stream) stop("work for no stream");
    if (!current) stop("work from a thread without a context");
    if (capture && stream == captured) {
        capture->push_back(work);
    } else {
        stream->waiting.push_back(work);
        stream->given++;
    }
}

static void run(Stream* stream, u64 until) {
    Turn mine(turn);
    while (stream->done < until) {
        Work work = stream->waiting.front();
        stream->waiting.pop_front();
        work();
        stream->done++;
    }
}

// Whether the bytes are all in one allocation.
static bool inside(u64 at, size_t bytes) {
    Turn mine(turn);
    auto next = allocations.upper_bound(at);
    if (next == allocations.begin()) return false;
    auto own = std::prev(next);
    return at + bytes <= own->first + own->second.bytes;
}

static void must_be_inside(u64 at, size_t bytes, const char* what) {
    if (bytes == 0 || inside(at, bytes)) return;
    fprintf(stderr, "emulated GPU: %s of %zu bytes is not in memory of the card\n", what, bytes);
    abort();
}

extern "C" {
u64 emulated_taken() { return taken; }
u64 emulated_asked() { return asked; }
u64 emulated_break() { return broken = true; }
u64 emulated_mend() { return broken = false; }

int cuInit(u32) { return SUCCESS; }
int cuDriverGetVersion(int* version) { *version = 13000; return SUCCESS; }
int cuGetErrorName(int code, const char** name) { *name = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_EMULATED"; return SUCCESS; }
int cuGetErrorString(int, const char** text) { *text = "an error of the emulated GPU"; return SUCCESS; }
int cuDeviceGetCount(int* count) { *count = 1; return SUCCESS; }
int cuDeviceGet(int* device, int) { *device = 0; return SUCCESS; }
int cuDeviceGetName(char* name, int length, int) { snprintf(name, length, "Emulated GPU"); return SUCCESS; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { *bytes = memory_size(); return SUCCESS; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 75: *value = 8; return SUCCESS;        // compute capability, major
        case 76: *value = 0; return SUCCESS;        // minor
        case 16: *value = 4; return SUCCESS;        // multiprocessors
        case 97: *value = 160 << 10; return SUCCESS;  // shared memory of a block that asks for more
        case 13: *value = 1000000; return SUCCESS;  // clock rate
    }
    return INVALID;
}
int cuDevicePrimaryCtxRetain(void** context, int) { *context = (void*)1; return SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void* context) { current = context != 0; return SUCCESS; }
int cuMemGetInfo_v2(size_t* free, size_t* total) { NEEDS_CONTEXT; *total = memory_size(); *free = *total - *used; return SUCCESS; }
int cuMemAlloc_v2(u64* at, size_t bytes) {
    Turn mine(turn);
    NEEDS_CONTEXT;
    NOT_IN_CAPTURE;
    if (bytes == 0) return INVALID;
    if (*used + bytes > memory_size()) return OUT_OF_MEMORY;
    const size_t page = 4096, rounded = (bytes + 255) / 256 * 256, whole = (rounded + page - 1) / page * page;
    u32* start = (u32*)mmap(0, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return OUT_OF_MEMORY;
    memset(start, 0xff, whole);
    mprotect((char*)start + whole, page, PROT_NONE);
    *at = (u64)(uintptr_t)start + whole - rounded;
    allocations[*at] = {bytes, used};
    *used += bytes;
    taken += bytes;
    return SUCCESS;
}
// It "may" wait for work (cuda.h): here it does not.
int cuMemFree_v2(u64 at) {
    Turn mine(turn);
    GIVES_BACK("memory");
    NOT_IN_CAPTURE;
    auto own = allocations.find(at);
    if (own == allocations.end()) return INVALID;
    *own->second.of -= own->second.bytes;
    const size_t page = 4096, rounded = (own->second.bytes + 255) / 256 * 256, whole = (rounded + page - 1) / page * page;
    munmap((void*)(uintptr_t)(at + rounded - whole), whole + page);
    allocations.erase(own);
    return SUCCESS;
}
int cuMemHostAlloc(void** at, size_t bytes, u32) {
    NEEDS_CONTEXT;
    NOT_IN_CAPTURE;
    *at = malloc(bytes);
    memset(*at, 0xff, bytes);
    return SUCCESS;
}
int cuMemFreeHost(void* at) {
    GIVES_BACK("pinned memory");
    NOT_IN_CAPTURE;
    free(at);
    return SUCCESS;
}
// Where memory must be is asked when the work is given and when it is done: it may be gone by then.
int cuMemcpyHtoDAsync_v2(u64 to, const void* from, size_t bytes, void* stream) {
    must_be_inside(to, bytes, "a copy to the card");
    enqueue(stream, [=] {
        must_be_inside(to, bytes, "a late copy to the card");
        memcpy((void*)(uintptr_t)to, from, bytes);
    });
    return SUCCESS;
}
int cuMemcpyDtoHAsync_v2(void* to, u64 from, size_t bytes, void* stream) {
    if (broken) return FAILED;
    must_be_inside(from, bytes, "a copy from the card");
    enqueue(stream, [=] {
        must_be_inside(from, bytes, "a late copy from the card");
        memcpy(to, (void*)(uintptr_t)from, bytes);
    });
    return SUCCESS;
}
int cuMemcpyDtoDAsync_v2(u64 to, u64 from, size_t bytes, void* stream) {
    must_be_inside(from, bytes, "a copy from the card");
    must_be_inside(to, bytes, "a copy to the card");
    enqueue(stream, [=] { memmove((void*)(uintptr_t)to, (void*)(uintptr_t)from, bytes); });
    return SUCCESS;
}
int cuMemsetD8Async(u64 at, unsigned char value, size_t bytes, void* stream) {
    must_be_inside(at, bytes, "a filling");
    enqueue(stream, [=] {
        must_be_inside(at, bytes, "a late filling");
        memset((void*)(uintptr_t)at, value, bytes);
    });
    return SUCCESS;
}
int cuStreamCreate(void** stream, u32) {
    NEEDS_CONTEXT;
    *stream = new Stream;
    return SUCCESS;
}
// The driver would finish the work: but then what it works on must still be there.
int cuStreamDestroy_v2(void* stream) {
    GIVES_BACK("a stream");
    if (!((Stream*)stream)->waiting.empty()) stop("a stream is given back while it has work");
    return SUCCESS;
}
int cuStreamSynchronize(void* stream) {
    NEEDS_CONTEXT;
    NOT_IN_CAPTURE;
    run((Stream*)stream, ((Stream*)stream)->given);
    return SUCCESS;
}
int cuStreamBeginCapture_v2(void* stream, int) {
    NEEDS_CONTEXT;
    if (capture) return CAPTURING;
    capture = new Works;
    captured = (Stream*)stream;
    spoilt = false;
    return SUCCESS;
}
int cuStreamEndCapture(void* stream, void** graph) {
    if (!capture || stream != captured) return INVALID;
    if (spoilt) delete capture;
    *graph = spoilt ? 0 : capture;
    capture = 0;
    return spoilt ? SPOILT_CAPTURE : SUCCESS;
}
int cuGraphInstantiateWithFlags(void** exec, void* graph, u64) {
    NEEDS_CONTEXT;
    *exec = new Works(*(Works*)graph);
    return SUCCESS;
}
int cuGraphLaunch(void* exec, void* stream) {
    const Works works = *(Works*)exec;
    enqueue(stream, [=] { for (const Work& work : works) work(); });
    return SUCCESS;
}
int cuGraphDestroy(void* graph) { delete (Works*)graph; return SUCCESS; }
int cuGraphExecDestroy(void* exec) {
    GIVES_BACK("a graph");
    delete (Works*)exec;
    return SUCCESS;
}

typedef std::chrono::steady_clock Clock;
struct Event {
    std::shared_ptr<Clock::time_point> time = std::make_shared<Clock::time_point>();
    Stream* stream = 0;
    u64 until = 0;
};
int cuEventCreate(void** event, u32) {
    NEEDS_CONTEXT;
    *event = new Event;
    return SUCCESS;
}
int cuEventDestroy_v2(void* event) {
    GIVES_BACK("an event");
    delete (Event*)event;
    return SUCCESS;
}
int cuEventRecord(void* which, void* stream) {
    Event* event = (Event*)which;
    auto time = event->time;
    enqueue(stream, [=] { *time = Clock::now(); });
    event->stream = (Stream*)stream;
    event->until = event->stream->given;
    return SUCCESS;
}
// Runs what was given before the event, and no more.
int cuEventSynchronize(void* which) {
    NOT_IN_CAPTURE;
    Event* event = (Event*)which;
    if (event->stream) run(event->stream, event->until);
    return SUCCESS;
}
int cuEventElapsedTime(float* ms, void* from, void* to) {
    for (Event* event : {(Event*)from, (Event*)to})
        if (!event->stream || event->stream->done < event->until) return NOT_READY;
    *ms = std::chrono::duration<float, std::milli>(*((Event*)to)->time - *((Event*)from)->time).count();
    return SUCCESS;
}

int cuModuleLoadData(void** module, const void* image) {
    NEEDS_CONTEXT;
    NOT_IN_CAPTURE;
    char path[] = "/tmp/tatabox-emulated-XXXXXX";
    const int file = mkstemp(path);
    u64 length;
    memcpy(&length, (const char*)image, 8);
    if (write(file, (const char*)image + 8, length) != (ssize_t)length) return INVALID;
    close(file);
    *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!*module) fprintf(stderr, "%s\n", dlerror());
    unlink(path);
    return *module ? SUCCESS : INVALID;
}
int cuModuleUnload(void*) {
    GIVES_BACK("a module");
    return SUCCESS;
}
struct Function {
    Work* (*bind)(const char*, void**);
    void (*launch)(const Work*, Dim, u32, u32);
    std::string name;
    u32 shared_limit, most_threads;
};
int cuModuleGetFunction(void** function, void* module, const char* name) {
    auto has = (int (*)(const char*))dlsym(module, "emulated_has");
    if (!has || !has(name)) return NOT_FOUND;
    *function = new Function{(Work * (*)(const char*, void**)) dlsym(module, "emulated_bind"),
                             (void (*)(const Work*, Dim, u32, u32))dlsym(module, "emulated_launch"), name, 48 << 10,
                             ((u32 (*)(const char*))dlsym(module, "emulated_threads"))(name)};
    return SUCCESS;
}
int cuFuncSetAttribute(void* function, int attribute, int value) {
    if (attribute == 8) ((Function*)function)->shared_limit = value;
    return SUCCESS;
}
int cuLaunchKernel(void* function, u32 gx, u32 gy, u32 gz, u32 bx, u32 by, u32 bz, u32 shared, void* stream, void** params, void**) {
    Function* f = (Function*)function;
    if (gx == 0 || gy == 0 || gz != 1 || bx == 0 || bx > 1024 || by != 1 || bz != 1 || gy > 65535 || shared > f->shared_limit) return INVALID;
    if (bx > f->most_threads) return TOO_MANY_THREADS;
    std::shared_ptr<Work> work(f->bind(f->name.c_str(), params));
    enqueue(stream, [=] { f->launch(work.get(), Dim{gx, gy, 1}, bx, shared); });
    return SUCCESS;
}

// NVRTC.
struct Program {
    std::string source, log, image;
};
int nvrtcVersion(int* major, int* minor) { *major = 13; *minor = EMULATION; return 0; }
int nvrtcGetNumSupportedArchs(int* count) { *count = 2; return 0; }
int nvrtcGetSupportedArchs(int* archs) { archs[0] = 80; archs[1] = 90; return 0; }
const char* nvrtcGetErrorString(int) { return "an error of the emulated NVRTC"; }
int nvrtcCreateProgram(Program** program, const char* source, const char*, int, const char* const*, const char* const*) {
    *program = new Program{source, "", ""};
    return 0;
}
int nvrtcDestroyProgram(Program** program) { delete *program; *program = 0; return 0; }
int nvrtcCompileProgram(Program* program, int count, const char* const* options) {
    char folder[] = "/tmp/tatabox-emulated-XXXXXX";
    if (!mkdtemp(folder)) return 6;
    const std::string at = folder;
    {
        std::ofstream file(at + "/kernels.cpp");
        file << "#include \"" MACHINE "\"\n";
        // machine.h stands in for machine.cu, which ends where numbers.cu begins.
        const size_t start = program->source.find("#line 1 \"numbers.cu\"");
        file << program->source.substr(start == std::string::npos ? 0 : start) << "\nstatic const emulated::Entry ENTRIES[] = {\n";
        for (size_t found = program->source.find("\nKERNEL("); found != std::string::npos; found = program->source.find("\nKERNEL(", found + 1)) {
            const size_t bound = found + 8, name = program->source.find(") ", found) + 2, end = program->source.find('(', name);
            const std::string word = program->source.substr(name, end - name), bounds = program->source.substr(bound, name - 2 - bound), threads = bounds.substr(0, bounds.find(','));
            file << "{\"" << word << "\", " << threads << ", [](void** params) { return emulated::bind(" << word << ", params); }},\n";
        }
        file << "};\n"
                "static const emulated::Entry* entry(const char* name) {\n"
                "  for (const auto& one : ENTRIES) if (std::string(one.name) == name) return &one;\n"
                "  return 0;\n}\n"
                "extern \"C\" int emulated_has(const char* name) { return entry(name) != 0; }\n"
                "extern \"C\" u32 emulated_threads(const char* name) { return entry(name)->threads; }\n"
                "extern \"C\" std::function<void()>* emulated_bind(const char* name, void** params) {\n"
                "  return new std::function<void()>(entry(name)->bind(params));\n}\n"
                "extern \"C\" void emulated_launch(const std::function<void()>* work, Dim grid, u32 threads, u32 shared) {\n"
                "  emulated::launch(*work, grid, threads, shared);\n}\n";
    }
    const char* compiler = getenv("CXX");
    std::string command = std::string(compiler ? compiler : "c++") + " -std=c++17 -O1 -U_FORTIFY_SOURCE -fno-strict-aliasing -shared -fPIC -w";
    // A card stops at an address that is no multiple of what is read there, a processor does not: this makes it an illegal instruction.
    command += " -fsanitize=alignment -fsanitize-undefined-trap-on-error";
    for (int i = 0; i < count; i++)
        if (!strncmp(options[i], "-D", 2)) command += std::string(" ") + options[i];
    command += " -o " + at + "/kernels.so " + at + "/kernels.cpp 2>" + at + "/log";
    const int code = system(command.c_str());
    std::stringstream log, image;
    log << std::ifstream(at + "/log").rdbuf();
    program->log = log.str();
    if (code == 0) {
        image << std::ifstream(at + "/kernels.so", std::ios::binary).rdbuf();
        const u64 length = image.str().size();
        program->image = std::string((const char*)&length, 8) + image.str();
    }
    for (const char* name : {"/kernels.cpp", "/kernels.so", "/log"}) unlink((at + name).c_str());
    rmdir(folder);
    return code == 0 ? 0 : 6;
}
int nvrtcGetProgramLogSize(Program* program, size_t* size) { *size = program->log.size() + 1; return 0; }
int nvrtcGetProgramLog(Program* program, char* log) { memcpy(log, program->log.c_str(), program->log.size() + 1); return 0; }
int nvrtcGetCUBINSize(Program* program, size_t* size) { *size = program->image.size(); return 0; }
int nvrtcGetCUBIN(Program* program, char* image) { memcpy(image, program->image.data(), program->image.size()); return 0; }
int nvrtcGetPTXSize(Program* program, size_t* size) { return nvrtcGetCUBINSize(program, size); }
int nvrtcGetPTX(Program* program, char* image) { return nvrtcGetCUBIN(program, image); }

// cuBLASLt.
enum { F32 = 0, BF16 = 14 };
struct Product {
    int transpose_a = 0, transpose_b = 0, epilogue = 1, bias_type = -1;
    u64 bias = 0;
};
struct Layout {
    int type;
    u64 rows, columns;
    int64_t stride;
};
struct Candidate {
    u64 algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};
size_t cublasLtGetVersion() { return 130000 + EMULATION; }
int cublasLtCreate(void** handle) { *handle = (void*)1; return current ? 0 : 1; }
int cublasLtDestroy(void*) { return 0; }
int cublasLtMatmulDescCreate(Product** product, int compute, int scale) {
    if (compute != 68 || scale != F32) return 15;
    *product = new Product;
    return 0;
}
int cublasLtMatmulDescDestroy(Product* product) { delete product; return 0; }
int cublasLtMatmulDescSetAttribute(Product* product, int attribute, const void* value, size_t size) {
    auto is = [&](int which, size_t bytes) { return attribute == which && size == bytes; };
    if (is(3, 4)) product->transpose_a = *(const int*)value;
    else if (is(4, 4)) product->transpose_b = *(const int*)value;
    else if (is(7, 4)) product->epilogue = *(const int*)value;
    else if (is(8, 8)) product->bias = *(const u64*)value;
    else if (is(26, 4)) product->bias_type = *(const int*)value;
    else return 7;
    return 0;
}
int cublasLtMatrixLayoutCreate(Layout** layout, int type, u64 rows, u64 columns, int64_t stride) {
    if (type != F32 && type != BF16) return 15;
    if (rows == 0 || columns == 0 || stride < (int64_t)rows) return 7;
    *layout = new Layout{type, rows, columns, stride};
    return 0;
}
int cublasLtMatrixLayoutDestroy(Layout* layout) { delete layout; return 0; }
struct Preference {
    u64 workspace = 0;
    u32 alignment[4] = {256, 256, 256, 256};
};
int cublasLtMatmulPreferenceCreate(Preference** preference) { *preference = new Preference; return 0; }
int cublasLtMatmulPreferenceDestroy(Preference* preference) { delete preference; return 0; }
int cublasLtMatmulPreferenceSetAttribute(Preference* preference, int attribute, const void* value, size_t size) {
    if (attribute == 1 && size == 8) preference->workspace = *(const u64*)value;
    else if (attribute >= 5 && attribute <= 8 && size == 4) preference->alignment[attribute - 5] = *(const u32*)value;
    else if (attribute != 3 || size != 4) return 7;
    return 0;
}
// What an algorithm may refuse, here all of it is refused: biases of another type than the operands, or of rows that tensor cores do not like; products of a
// certain depth; and for another depth each algorithm does only every second number of rows.
static bool does(u64 algorithm, const Product* product, const Layout* a, const Layout* d, u64 depth) {
    if (product->epilogue == 4 && (a->type != d->type || d->rows % (d->type == F32 ? 2 : 8) != 0)) return false;
    return depth != 1009 && (depth != 13 || algorithm == 1 + d->columns % 2);
}
// An algorithm: its number, what its addresses must be multiples of, and the workspace that it needs.
int cublasLtMatmulAlgoGetHeuristic(void*, const Product* product, const Layout* a, const Layout*, const Layout*, const Layout* d, const Preference* preference,
                                   int wanted, Candidate* found, int* count) {
    asked++;
    u32 alignment = 256;
    for (u32 one : preference->alignment) alignment = one < alignment ? one : alignment;
    *count = 0;
    for (u64 one = 1; one <= 2 && *count < wanted; one++)
        if (does(one, product, a, d, product->transpose_a ? a->rows : a->columns))
            found[(*count)++] = Candidate{{one, alignment, preference->workspace}, preference->workspace, 0, 1.0f, {}};
    return *count > 0 ? 0 : 15;
}

static float at(const void* base, int type, size_t index) {
    if (type == F32) return ((const float*)base)[index];
    const u32 word = (u32)((const uint16_t*)base)[index] << 16;
    float value;
    memcpy(&value, &word, 4);
    return value;
}

int cublasLtMatmul(void*, const Product* p, const float* alpha, u64 a, const Layout* la, u64 b, const Layout* lb, const float* beta, u64 c, const Layout*,
                   u64 d, const Layout* ld, const u64* algorithm, u64 workspace, size_t workspace_bytes, void* stream) {
    const u64 m = ld->rows, n = ld->columns, k = p->transpose_a ? la->rows : la->columns;
    const u64 rows_a = p->transpose_a ? la->columns : la->rows, rows_b = p->transpose_b ? lb->columns : lb->rows;
    const u64 columns_b = p->transpose_b ? lb->rows : lb->columns;
    if (rows_a != m || rows_b != k || columns_b != n || la->type != lb->type || c != d) return 7;
    if (p->epilogue != 1 && p->epilogue != 4) return 15;
    if (p->epilogue == 4 && p->bias_type != -1 && p->bias_type != ld->type) return 15;
    if (!does(algorithm[0], p, la, ld, k)) return 15;
    if ((algorithm[0] != 1 && algorithm[0] != 2) || workspace_bytes < 1024 || workspace_bytes < algorithm[2]) return 7;
    if ((a | b | c | (p->epilogue == 4 ? p->bias : 0)) % algorithm[1] != 0) stop("an algorithm for matrices that are better aligned");
    if (workspace % 256 != 0) stop("a workspace that is not aligned to 256 bytes");
    auto bytes = [](const Layout* l) { return ((l->columns - 1) * l->stride + l->rows) * (l->type == F32 ? 4 : 2); };
    must_be_inside(a, bytes(la), "operand A");
    must_be_inside(b, bytes(lb), "operand B");
    must_be_inside(d, bytes(ld), "the result");
    must_be_inside(workspace, workspace_bytes, "the workspace");
    if (p->epilogue == 4) must_be_inside(p->bias, m * (ld->type == F32 ? 4 : 2), "the bias");
    const Product product = *p;
    const Layout left = *la, right = *lb, result = *ld;
    const float al = *alpha, be = *beta;
    enqueue(stream, [=] {
        // What measures a card's speed would take hours here: its result is NaN.
        if (m * n * k > u64(1) << 32) {
            memset((void*)(uintptr_t)d, 0xff, ((n - 1) * result.stride + m) * (result.type == F32 ? 4 : 2));
            return;
        }
        memset((void*)(uintptr_t)workspace, 0xff, 1024);
        std::vector<float> rows(m * k), columns(n * k);
        for (u64 i = 0; i < m; i++)
            for (u64 x = 0; x < k; x++)
                rows[i * k + x] = at((void*)(uintptr_t)a, left.type, product.transpose_a ? i * left.stride + x : x * left.stride + i);
        for (u64 j = 0; j < n; j++)
            for (u64 x = 0; x < k; x++)
                columns[j * k + x] = at((void*)(uintptr_t)b, right.type, product.transpose_b ? x * right.stride + j : j * right.stride + x);
        for (u64 j = 0; j < n; j++)
            for (u64 i = 0; i < m; i++) {
                float sum = 0;
                for (u64 x = 0; x < k; x++) sum += rows[i * k + x] * columns[j * k + x];
                sum *= al;
                const size_t index = j * result.stride + i;
                if (be != 0) sum += be * at((void*)(uintptr_t)d, result.type, index);
                if (product.epilogue == 4) sum += at((void*)(uintptr_t)product.bias, result.type, i);
                if (result.type == F32) {
                    ((float*)(uintptr_t)d)[index] = sum;
                } else {
                    u32 word;
                    memcpy(&word, &sum, 4);
                    const bool is_nan = (word & 0x7fffffffu) > 0x7f800000u;
                    ((uint16_t*)(uintptr_t)d)[index] = is_nan ? 0x7fff : (word + 0x7fff + (word >> 16 & 1)) >> 16;
                }
            }
    });
    return 0;
}
}
