// What lets a formula be compiled for the CPU and for CUDA from one source.
#pragma once

#if defined(__CUDACC__)
#define SIGKERNEL_HOST_DEVICE __host__ __device__
#define SIGKERNEL_UNROLL _Pragma("unroll")
// Loops with a large body that are not to be written out at all.
#define SIGKERNEL_ROLLED _Pragma("unroll 1")
#else
#define SIGKERNEL_HOST_DEVICE
// Loops up to this long are written out whole, so that what they index stays in registers.
#define SIGKERNEL_UNROLL _Pragma("GCC unroll 17")
#define SIGKERNEL_ROLLED
#endif
