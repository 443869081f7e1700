// What every op is built on: DeviceOp, an op that is written once for all devices, and how its kernels are registered.
#pragma once

#include <new>
#include <string>

#include "core/device/cuda_device.h"
#include "core/memory.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/errors.h"
#include "tensorflow/device_cpu.h"
#if SIGKERNEL_TF_WITH_CUDA
#include "tensorflow/device_gpu.h"
#endif

namespace sigkernel {

// TensorFlow's names that every op uses.
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
namespace errors = tensorflow::errors;
namespace strings = tensorflow::strings;

// What an op says where its scratch memory does not fit.
struct ScratchMemory {
  const char* what;  // for instance "the sweep over a grid"
  const char* cure;  // what takes less memory
};

inline absl::Status OutOfMemoryError(const std::bad_alloc& failure, const ScratchMemory& memory) {
  const auto* sized = dynamic_cast<const OutOfMemory*>(&failure);  // what the standard library throws has no size
  const std::string needed = sized == nullptr ? "" : strings::StrCat("another ", sized->needed >> 20, " MB of ");
  return errors::ResourceExhausted("sigkernel_tf ran out of memory: no room for ", needed, memory.what, ". ",
                                   memory.cure, ".");
}

// An op that computes on a Device, Cpu or Gpu, from a Problem, the core's struct of parameters. A derived class reads
// the op's attributes into `attributes_` when it is constructed, and says how the rest of the problem is read from the
// inputs and what is run. What the core throws becomes the op's status.
template <class Device, class Problem>
class DeviceOp : public tensorflow::OpKernel {
 public:
  void Compute(OpKernelContext* context) final try {
    const Device device(context);
    Problem problem = attributes_;
    OP_REQUIRES_OK(context, ReadInputs(context, &problem));
    OP_REQUIRES_OK(context, Run(context, device, problem));
  } catch (const std::bad_alloc& failure) {
    context->SetStatus(OutOfMemoryError(failure, memory_));
  } catch (const CudaError& failure) {
    context->SetStatus(errors::Internal("sigkernel_tf's GPU code: ", failure.what()));
  }

 protected:
  DeviceOp(OpKernelConstruction* context, const ScratchMemory& memory) : OpKernel(context), memory_(memory) {}

  // Validates the inputs that all ops on such a problem have, and points the problem to them.
  virtual absl::Status ReadInputs(OpKernelContext* context, Problem* problem) const = 0;

  // Validates the op's other inputs, allocates its outputs and computes them.
  virtual absl::Status Run(OpKernelContext* context, const Device& device, const Problem& problem) const = 0;

  Problem attributes_;

 private:
  const ScratchMemory memory_;
};

// Registers kernels for float and double, OP<DEVICE, float> and OP<DEVICE, double>.
#define SIGKERNEL_REGISTER_ON(DEVICE, NAME, OP)                                                              \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE::Name()).TypeConstraint<float>("T"), OP<DEVICE, float>);  \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE::Name()).TypeConstraint<double>("T"), OP<DEVICE, double>);

// On every device that this library is built for.
#if SIGKERNEL_TF_WITH_CUDA
#define SIGKERNEL_REGISTER(NAME, OP)   \
  SIGKERNEL_REGISTER_ON(Cpu, NAME, OP) \
  SIGKERNEL_REGISTER_ON(Gpu, NAME, OP)
#else
#define SIGKERNEL_REGISTER(NAME, OP) SIGKERNEL_REGISTER_ON(Cpu, NAME, OP)
#endif

// Stands for an op that has no kernel for a GPU, so that one which is placed there says so.
class NotOnGpuOp final : public tensorflow::OpKernel {
 public:
  explicit NotOnGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    context->CtxFailure(errors::Unimplemented(
        "return_error=True is offered on the CPU only, for now. Call the operation inside `with tf.device(\"CPU\"):`, "
        "or leave return_error out."));
  }
  void Compute(OpKernelContext*) final {}
};

#if SIGKERNEL_TF_WITH_CUDA
#define SIGKERNEL_REGISTER_CPU_ONLY(NAME, OP) \
  SIGKERNEL_REGISTER_ON(Cpu, NAME, OP)        \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(Gpu::Name()), NotOnGpuOp);
#else
#define SIGKERNEL_REGISTER_CPU_ONLY(NAME, OP) SIGKERNEL_REGISTER_ON(Cpu, NAME, OP)
#endif

}  // namespace sigkernel
