// The truncated signature's operations: inputs, attributes and shapes. What they compute is documented in Python.

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace sigkernel {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

absl::Status SignatureShape(InferenceContext* c) {
  ShapeHandle paths;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 3, &paths));
  int64_t num_words;
  bool stream;
  TF_RETURN_IF_ERROR(c->GetAttr("num_words", &num_words));
  TF_RETURN_IF_ERROR(c->GetAttr("stream", &stream));
  const DimensionHandle count = c->Dim(paths, 0), length = c->Dim(paths, 1), words = c->MakeDim(num_words);
  c->set_output(0, stream ? c->MakeShape({count, length, words}) : c->MakeShape({count, words}));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("SigkernelTfSignature")
    .Input("paths: T")
    .Output("signature: T")
    .Attr("T: {float, double}")
    .Attr("num_words: int >= 1")
    .Attr("stream: bool")
    .SetShapeFn(SignatureShape);

REGISTER_OP("SigkernelTfSignatureGrad")
    .Input("paths: T")
    .Input("signature: T")
    .Input("upstream: T")
    .Output("d_paths: T")
    .Attr("T: {float, double}")
    .Attr("num_words: int >= 1")
    .Attr("stream: bool")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape);

}  // namespace sigkernel
