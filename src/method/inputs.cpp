#include "method/inputs.hpp"

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>

namespace sslmeme::detail {

Tensor encode_images(ImageBackbone& encoder, const Batch& batch, int view, std::string_view who) {
  if (static_cast<std::size_t>(view) >= batch.views.size()) {
    throw InvalidArgument(fmt::format("\"{}\" needs view {}, the batch has {}: give the loader more views", who, view,
                                      batch.views.size()));
  }
  return encoder.forward(batch.views[static_cast<std::size_t>(view)]);
}

Tensor encode_texts(TextBackbone& encoder, const Batch& batch, std::string_view who) {
  if (!batch.tokens.defined()) {
    throw InvalidArgument(
        fmt::format("\"{}\" needs words, the batch has no tokens: give the loader a .tokenizer", who));
  }
  return encoder.forward(batch.tokens, batch.mask);
}

}  // namespace sslmeme::detail
