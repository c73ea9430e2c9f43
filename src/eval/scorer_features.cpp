#include "eval/scorer_features.hpp"

#include <sslmeme/nn/fusion.hpp>

#include "method/inputs.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace sslmeme::detail {
namespace {

Tensor unit_rows(const Tensor& x) {
  const auto wide = x.to(torch::kDouble);
  return wide / wide.norm(2, {1}, true).clamp_min(1e-12);
}

}  // namespace

MemeFeatures encode(const Supervised& classifier, const Batch& batch, Precision precision) {
  MemeFeatures features;
  const auto image = classifier.image();
  const auto text = classifier.text();
  const auto device = classifier.fusion()->parameters().front().device().type();  // an encoder may have none
  const Autocast autocast{precision, device};
  if (image) features.image = encode_images(*image, batch, 0, "image").to(torch::kFloat);
  if (text) features.text = encode_texts(*text, batch, "text").to(torch::kFloat);
  return features;
}

Tensor joint(const MemeFeatures& features) {
  std::vector<Tensor> parts;
  if (features.image.defined()) parts.push_back(unit_rows(features.image));
  if (features.text.defined()) parts.push_back(unit_rows(features.text));
  if (parts.empty()) return {};
  return (torch::cat(parts, 1) / std::sqrt(static_cast<double>(parts.size()))).to(torch::kFloat);
}

Tensor logits_of(const Supervised& classifier, const MemeFeatures& features) {
  auto [image, text] = features;
  if (image.defined() && text.defined()) {
    const auto n = std::max(image.size(0), text.size(0));
    image = image.expand({n, -1});
    text = text.expand({n, -1});
  }
  return classifier.fusion()->forward(image, text).to(torch::kFloat);
}

}  // namespace sslmeme::detail
