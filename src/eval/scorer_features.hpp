// Features of memes by a classifier's encoders, as bank, scorer and explanations share them.
#pragma once

#include <sslmeme/core/batch.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/method/supervised.hpp>

namespace sslmeme::detail {

struct MemeFeatures {
  Tensor image;  ///< f32 (N, D_i); undefined without a picture encoder
  Tensor text;   ///< f32 (N, D_t); undefined without a text encoder
};

/// Each encoder's features of a batch on the classifier's device. Changes no mode of the classifier: it must be in
/// evaluation mode, and gradients off.
MemeFeatures encode(const Supervised& classifier, const Batch& batch, Precision precision);

/// MemeBank::features of these; undefined where neither is defined.
Tensor joint(const MemeFeatures& features);

/// Logits (N) f32 of the fusion head; those of one modality may be of one row, which then goes with all of the other.
Tensor logits_of(const Supervised& classifier, const MemeFeatures& features);

}  // namespace sslmeme::detail
