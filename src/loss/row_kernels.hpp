// Row-wise kernels of the losses over prototypes, on the CPU in fp32; each row is read from memory once.
#pragma once

#include <cstdint>

namespace sslmeme::detail {

/// out = softmax((x − center) · inverse_temperature) of `rows` rows of n floats; center: n floats.
void softmax_rows(const float* x, const float* center, float inverse_temperature, std::int64_t rows, std::int64_t n,
                  float* out);

/// What cross-entropy against targets of mass m needs of logits x/τ: logsumexp and Σ target · x/τ.
struct RowSums {
  float* logsumexp;
  float* product;
};
void cross_entropy_rows(const float* x, const float* targets, float inverse_temperature, std::int64_t rows,
                        std::int64_t n, const RowSums& sums);

/// out = factor · (mass · exp(x/τ − logsumexp) − targets).
void cross_entropy_gradient_rows(const float* x, const float* targets, const float* logsumexp,
                                 float inverse_temperature, float mass, float factor, std::int64_t rows, std::int64_t n,
                                 float* out);

}  // namespace sslmeme::detail
