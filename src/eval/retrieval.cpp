#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/retrieval.hpp>

#include "eval/finite_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace sslmeme {
namespace {

constexpr std::int64_t chunk_numbers = 1 << 21;  // 16 MB a matrix of similarities

/// How many rows of similarities with n others make up a chunk.
std::int64_t chunk_rows(std::int64_t n) {
  return std::clamp<std::int64_t>(chunk_numbers / n, 1, 1024);
}

void require_rows(const Tensor& x, const char* function, const char* what) {
  if (x.dim() != 2 || x.numel() == 0) {
    throw InvalidArgument(fmt::format("{}: the shape of {} is {}; it must be (N, D) with at least one row", function,
                                      what, shape_string(x)));
  }
  detail::require_finite_rows(x, what);
}

void require_same_width(const Tensor& a, const char* what_a, const Tensor& b, const char* what_b,
                        const char* function) {
  if (a.size(1) != b.size(1)) {
    throw InvalidArgument(fmt::format("{}: the shape of {} is {}, of {} {}; both must have the same width", function,
                                      what_a, shape_string(a), what_b, shape_string(b)));
  }
}

Tensor unit_rows(const Tensor& x) {
  return l2_normalize(x.detach().to(torch::kDouble));
}

void require_ids(const Tensor& ids, const Tensor& rows, const char* name) {
  if (ids.dim() != 1 || ids.size(0) != rows.size(0) || !isIntegralType(ids.scalar_type(), false)) {
    throw InvalidArgument(fmt::format("RetrievalOptions::{} are {}; they must be ({}) integers, one a row", name,
                                      shape_string(ids), rows.size(0)));
  }
}

/// The rank of each query, f64 (N). Both are unit vectors.
Tensor ranks(const Tensor& queries, const Tensor& query_ids, const Tensor& candidates, const Tensor& candidate_ids,
             const char* what) {
  constexpr double tie = 1e-12;  // of what rounding makes of equal similarities
  constexpr double none = -std::numeric_limits<double>::infinity();
  const auto columns = candidates.t();
  const auto step = chunk_rows(candidates.size(0));
  std::vector<Tensor> result;
  for (std::int64_t begin = 0; begin < queries.size(0); begin += step) {
    const auto length = std::min(step, queries.size(0) - begin);
    auto similarity = torch::matmul(queries.narrow(0, begin, length), columns);
    const auto matches = query_ids.narrow(0, begin, length).unsqueeze(1) == candidate_ids.unsqueeze(0);
    const auto best = similarity.masked_fill(matches.logical_not(), none).amax(1, true);
    if (const auto lonely = torch::isinf(best).nonzero(); lonely.size(0) > 0) {
      const auto row = begin + lonely[0][0].item<std::int64_t>();
      throw InvalidArgument(fmt::format("retrieve: {} {} has id {}, which nothing on the other side has; leave it out",
                                        what, row, query_ids[row].item<std::int64_t>()));
    }
    result.push_back((similarity.masked_fill_(matches, none) >= best - tie).sum(1) + 1);
  }
  return torch::cat(result).to(torch::kDouble);
}

Recall recall(const Tensor& ranks, const std::vector<std::int64_t>& k) {
  Recall result;
  for (const auto most : k) result.at.push_back((ranks <= most).to(torch::kDouble).mean().item<double>());
  result.median_rank = ranks.quantile(0.5).item<double>();
  return result;
}

}  // namespace

Retrieval retrieve(const Tensor& images, const Tensor& texts, const RetrievalOptions& options) {
  const torch::NoGradGuard no_grad;
  require_rows(images, "retrieve", "images");
  require_rows(texts, "retrieve", "texts");
  require_same_width(images, "images", texts, "texts", "retrieve");
  for (const auto k : options.k) {
    if (k < 1) throw InvalidArgument(fmt::format("RetrievalOptions::k has {}; every k must be at least 1", k));
  }
  auto image_ids = options.image_ids, text_ids = options.text_ids;
  if (image_ids.defined() || text_ids.defined()) {
    require_ids(image_ids, images, "image_ids");
    require_ids(text_ids, texts, "text_ids");
  } else if (images.size(0) != texts.size(0)) {
    throw InvalidArgument(
        fmt::format("retrieve: images are {}, texts are {}; without ids row i matches row i: give as many of both, or "
                    ".image_ids and .text_ids",
                    shape_string(images), shape_string(texts)));
  } else {
    image_ids = text_ids = torch::arange(images.size(0), images.options().dtype(torch::kLong));
  }
  const auto pictures = unit_rows(images), words = unit_rows(texts);
  return {recall(ranks(pictures, image_ids, words, text_ids, "image"), options.k),
          recall(ranks(words, text_ids, pictures, image_ids, "text"), options.k)};
}

Tensor zero_shot_classes(const std::vector<Tensor>& prompts) {
  const torch::NoGradGuard no_grad;
  if (prompts.empty()) throw InvalidArgument("zero_shot_classes: there is no class; give the prompts of at least one");
  std::vector<Tensor> classes;
  for (const auto& of_class : prompts) {
    require_rows(of_class, "zero_shot_classes", "prompts");
    require_same_width(of_class, "prompts of a class", prompts[0], "those of the first", "zero_shot_classes");
    classes.push_back(l2_normalize(unit_rows(of_class).mean(0)));
  }
  return torch::stack(classes);
}

Tensor zero_shot_logits(const Tensor& images, const Tensor& classes, double scale) {
  const torch::NoGradGuard no_grad;
  require_rows(images, "zero_shot_logits", "images");
  require_rows(classes, "zero_shot_logits", "classes");
  require_same_width(images, "images", classes, "classes", "zero_shot_logits");
  return scale * torch::matmul(unit_rows(images), unit_rows(classes).t());
}

double alignment(const Tensor& a, const Tensor& b, double alpha) {
  const torch::NoGradGuard no_grad;
  require_rows(a, "alignment", "a");
  require_rows(b, "alignment", "b");
  if (a.sizes() != b.sizes()) {
    throw InvalidArgument(
        fmt::format("alignment: a is {}, b is {}; row i of one pairs with row i of the other: give the same shape",
                    shape_string(a), shape_string(b)));
  }
  return (unit_rows(a) - unit_rows(b)).norm(2, 1).pow(alpha).mean().item<double>();
}

double uniformity(const Tensor& x, double t) {
  const torch::NoGradGuard no_grad;
  require_rows(x, "uniformity", "x");
  const auto n = x.size(0);
  if (n < 2) throw InvalidArgument(fmt::format("uniformity: x is {}; it needs at least two rows", shape_string(x)));
  const auto unit = unit_rows(x);
  const auto squares = unit.square().sum(1);  // 1, but 0 of a zero vector
  const auto step = chunk_rows(n);
  std::vector<Tensor> sums;
  for (std::int64_t begin = 0; begin < n; begin += step) {
    const auto rows = unit.narrow(0, begin, std::min(step, n - begin)), others = unit.narrow(0, begin, n - begin);
    const auto distance = squares.narrow(0, begin, rows.size(0)).unsqueeze(1) + squares.narrow(0, begin, n - begin) -
                          2 * torch::matmul(rows, others.t());
    const auto later = torch::ones_like(distance, torch::kBool).triu_(1);  // each pair once, none with itself
    const auto exponents = (-t * distance.clamp_min(0)).masked_fill_(later.logical_not(), -INFINITY);
    sums.push_back(exponents.flatten().logsumexp(0));
  }
  const auto pairs = static_cast<double>(n) * static_cast<double>(n - 1) / 2;
  return torch::stack(sums).logsumexp(0).item<double>() - std::log(pairs);
}

}  // namespace sslmeme
