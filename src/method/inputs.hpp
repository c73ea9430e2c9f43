// From a batch to features, with an error that tells which node lacks what.
#pragma once

#include <sslmeme/core/batch.hpp>
#include <sslmeme/nn/backbone.hpp>

#include <nlohmann/json_fwd.hpp>

#include <string_view>

namespace sslmeme::detail {

/// View `view` of a batch. Throws InvalidArgument when the batch has no such view.
const Tensor& view_of(const Batch& batch, int view, std::string_view who);

/// Features (N, D) of view `view`. Throws InvalidArgument when the batch has no such view.
Tensor encode_images(ImageBackbone& encoder, const Batch& batch, int view, std::string_view who);

/// Features (N, D) of the words. Throws InvalidArgument when the batch has no tokens.
Tensor encode_texts(TextBackbone& encoder, const Batch& batch, std::string_view who);

/// Throws InvalidArgument for a batch with a missing label or one that is not 0 or 1.
void require_binary_labels(const Batch& batch, std::string_view who);

/// i64 (N): equal where the words of two rows are, whatever stands under the mask, on every rank. tokens: i64 (N, L),
/// mask: bool (N, L).
Tensor caption_ids(const Tensor& tokens, const Tensor& mask);

/// Of the rows of a and b, (N, D) each: the mean of their cosines, 0-d.
Tensor mean_cosine(const Tensor& a, const Tensor& b);

/// Backbone::description() as JSON; null where there is none, or no encoder.
nlohmann::json described(const Backbone* encoder);

}  // namespace sslmeme::detail
