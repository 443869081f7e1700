// What lets a formula be compiled for the CPU and for CUDA from one source.
#pragma once

#if defined(__CUDACC__)
#define SIGKERNEL_HOST_DEVICE __host__ __device__
#define SIGKERNEL_UNROLL _Pragma("unroll")
#else
#define SIGKERNEL_HOST_DEVICE
// Loops up to this long are written out whole, so that what they index stays in registers.
#define SIGKERNEL_UNROLL _Pragma("GCC unroll 17")
#endif
