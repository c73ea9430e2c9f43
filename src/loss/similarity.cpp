#include <sslmeme/loss/similarity.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/concepts.hpp>

#include "loss/kernels.hpp"
#include "loss/score_tiles.hpp"

#include <fmt/format.h>
#include <torch/autograd.h>

#include <optional>
#include <span>
#include <utility>

namespace sslmeme {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::span<float> span_of(const Tensor& t) {
  return {t.data_ptr<float>(), static_cast<std::size_t>(t.numel())};
}

/// The log-sum-exps of all rows or of all columns while the tiles go by.
class LogSumExps {
 public:
  LogSumExps(std::int64_t n, const Tensor& like)
      : maximum_{torch::full({n}, lowest(like), like.options())}, sum_{torch::zeros({n}, like.options())} {}

  Tensor maximum(std::int64_t begin, std::int64_t count) const { return maximum_.narrow(0, begin, count); }
  Tensor sum(std::int64_t begin, std::int64_t count) const { return sum_.narrow(0, begin, count); }
  detail::RunningSums running(std::int64_t begin, std::int64_t count) const {
    return {span_of(maximum(begin, count)), span_of(sum(begin, count))};
  }
  /// The same in plain tensor operations, over dimension `dim` of a tile.
  void add(const Tensor& tile, std::int64_t dim, std::int64_t begin) const {
    const auto count = tile.size(1 - dim);
    auto old = maximum(begin, count), total = sum(begin, count);
    const auto top = torch::maximum(old, tile.amax(dim));
    total.mul_((old - top).exp_()).add_((tile - top.unsqueeze(dim)).exp_().sum(dim));
    old.copy_(top);
  }
  Tensor value() const { return maximum_ + sum_.log(); }

 private:
  static double lowest(const Tensor& like) {
    return like.scalar_type() == torch::kDouble ? -1e300 : static_cast<double>(detail::lowest_score);
  }
  Tensor maximum_, sum_;
};

/// One of the two ends of an entry's gradient: dL/dlse and lse, of rows or columns.
struct Ends {
  Tensor gradient, value;

  /// Nothing of a row that is empty: its −∞ would make NaN.
  Ends(const Tensor& gradient_in, const Tensor& value_in)
      : gradient{gradient_in.defined() ? gradient_in.contiguous() : torch::zeros_like(value_in)},
        value{value_in.clone().masked_fill_(value_in.isneginf(), 0.0)} {}
  Tensor weights(const Tensor& tile, std::int64_t dim, std::int64_t begin) const {
    const auto part = [&](const Tensor& t) { return t.narrow(0, begin, tile.size(1 - dim)).unsqueeze(dim); };
    return (tile - part(value)).exp_().mul_(part(gradient));
  }
  detail::LogSumExpGradient spans(std::int64_t begin, std::int64_t count) const {
    return {span_of(gradient.narrow(0, begin, count)), span_of(value.narrow(0, begin, count))};
  }
};

/// What is done to the tiles of a similarity matrix to get log-sum-exps, forward and backward.
class Scores : public detail::ScoreTiles {
 public:
  using ScoreTiles::ScoreTiles;

  void add(const Tensor& tile, std::int64_t i, std::int64_t j, const LogSumExps& rows,
           const LogSumExps* columns) const {
    if (has_kernel()) {
      detail::add_exponentials(as_tile(tile), rows.running(i, tile.size(0)),
                               columns ? columns->running(j, tile.size(1)) : detail::RunningSums{});
      return;
    }
    rows.add(tile, 1, i);
    if (columns) columns->add(tile, 0, j);
  }

  /// Turns scores into dL/dscore. of_positives: (P) or undefined.
  void weigh(Tensor& tile, std::int64_t i, std::int64_t j, const Ends& rows, const Ends& columns,
             const Tensor& of_positives) const {
    if (has_kernel()) {
      detail::scores_to_weights(as_tile(tile), rows.spans(i, tile.size(0)), columns.spans(j, tile.size(1)));
    } else {
      tile.copy_(rows.weights(tile, 1, i).add_(columns.weights(tile, 0, j)));
    }
    if (!of_positives.defined()) return;
    for_positives(tile, i, j, [&](const Tensor& entries, std::int64_t first) {
      entries.add_(of_positives.narrow(0, first, entries.size(0)));
    });
  }
};

struct PairFunction : torch::autograd::Function<PairFunction> {
  static variable_list forward(AutogradContext* context, const Tensor& a, const Tensor& b, const Tensor& scale,
                               const SimilarityMask& mask) {
    const detail::NoAutocast no_autocast;
    Scores scores{a, b, scale, mask};
    const LogSumExps rows{a.size(0), a}, columns{b.size(0), b};
    const auto positives = torch::empty({scores.positives()}, a.options());
    scores.for_each_tile([&](const Tensor& tile, auto i, auto j) {
      scores.add(tile, i, j, rows, &columns);
      scores.collect_positives(tile, i, j, positives);
    });
    const auto row_value = rows.value(), column_value = columns.value();
    context->save_for_backward({a, b, scale, row_value, column_value, mask.row_ids, mask.column_ids});
    context->saved_data["self_offset"] = mask.self_offset;
    context->saved_data["positive_offset"] = mask.positive_offset;
    return {row_value, column_value, positives};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    detail::require_first_derivative("similarity_logsumexp");
    const detail::NoAutocast no_autocast;
    const auto saved = context->get_saved_variables();
    const auto &a = saved[0], &b = saved[1], &scale = saved[2];
    const SimilarityMask mask{context->saved_data["self_offset"].toOptional<std::int64_t>(), saved[5], saved[6],
                              context->saved_data["positive_offset"].toInt()};
    Scores scores{a, b, scale, mask};
    const Ends rows{gradients[0], saved[3]}, columns{gradients[1], saved[4]};
    // A frozen side costs no product, unless the scale learns, whose gradient is taken from that of a.
    const bool for_a = context->needs_input_grad(0) || context->needs_input_grad(2),
               for_b = context->needs_input_grad(1);
    auto of_a = for_a ? torch::zeros_like(a, torch::MemoryFormat::Contiguous) : Tensor{};
    auto of_b = for_b ? torch::zeros_like(b, torch::MemoryFormat::Contiguous) : Tensor{};
    scores.for_each_tile([&](Tensor& tile, auto i, auto j) {
      scores.weigh(tile, i, j, rows, columns, gradients[2]);
      if (for_a) of_a.narrow(0, i, tile.size(0)).addmm_(tile, b.narrow(0, j, tile.size(1)));
      if (for_b) of_b.narrow(0, j, tile.size(1)).addmm_(tile.t(), a.narrow(0, i, tile.size(0)));
    });
    const auto of_scale = for_a ? (a * of_a).sum() : Tensor{};
    if (for_a) of_a.mul_(scale);
    if (for_b) of_b.mul_(scale);
    return {of_a, of_b, of_scale, {}};
  }
};

struct SelfFunction : torch::autograd::Function<SelfFunction> {
  static variable_list forward(AutogradContext* context, const Tensor& z, const Tensor& scale,
                               const SimilarityMask& mask) {
    const detail::NoAutocast no_autocast;
    Scores scores{z, z, scale, mask, true};
    const LogSumExps rows{z.size(0), z};
    const auto positives = torch::empty({scores.positives()}, z.options());
    // An entry above the diagonal is one of its row and, mirrored, one of its column's row.
    scores.for_each_tile([&](const Tensor& tile, auto i, auto j) {
      scores.add(tile, i, j, rows, i == j ? nullptr : &rows);
      scores.collect_positives(tile, i, j, positives);
    });
    const auto value = rows.value();
    context->save_for_backward({z, scale, value, mask.row_ids});
    context->saved_data["positive_offset"] = mask.positive_offset;
    return {value, positives};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    detail::require_first_derivative("similarity_logsumexp");
    const detail::NoAutocast no_autocast;
    const auto saved = context->get_saved_variables();
    const auto &z = saved[0], &scale = saved[1], &ids = saved[3];
    const auto offset = context->saved_data["positive_offset"].toInt();
    Scores scores{z, z, scale, {0, ids, ids, offset}, true};
    const Ends ends{gradients[0], saved[2]};
    auto of_z = torch::zeros_like(z, torch::MemoryFormat::Contiguous);
    scores.for_each_tile([&](Tensor& tile, auto i, auto j) {
      scores.weigh(tile, i, j, ends, ends, gradients[1]);
      of_z.narrow(0, i, tile.size(0)).addmm_(tile, z.narrow(0, j, tile.size(1)));
      if (i != j) of_z.narrow(0, j, tile.size(1)).addmm_(tile.t(), z.narrow(0, i, tile.size(0)));
    });
    const auto of_scale = 0.5 * (z * of_z).sum();  // each entry was met from both of its ends
    return {of_z.mul_(scale), of_scale, {}};
  }
};

void check_vectors(const Tensor& a, const Tensor& b, const Tensor& scale) {
  if (!a.defined() || !b.defined() || !scale.defined() || a.dim() != 2 || b.dim() != 2 || a.size(1) != b.size(1) ||
      scale.dim() != 0) {
    throw InvalidArgument(
        fmt::format("similarity_logsumexp: a is {}, b is {}, scale is {}; they must be (N, D), (M, D) and ()",
                    shape_string(a), shape_string(b), shape_string(scale)));
  }
  const auto type = a.scalar_type();
  if ((type != torch::kFloat && type != torch::kDouble) || b.scalar_type() != type || scale.scalar_type() != type) {
    throw InvalidArgument(
        fmt::format("similarity_logsumexp: a is {}, b is {}, scale is {}; all must be float or all double",
                    toString(type), toString(b.scalar_type()), toString(scale.scalar_type())));
  }
}

void check_ids(const Tensor& ids, std::int64_t n) {
  if (ids.defined() && !detail::fit_rows(ids, n)) {
    throw InvalidArgument(fmt::format("similarity_logsumexp: {} ids of i64 are needed, got {} {}", n,
                                      toString(ids.scalar_type()), shape_string(ids)));
  }
}

}  // namespace

SimilarityMask detail::mask_of_pairs(bool mask_duplicates, const PairInfo& info, const torch::Device& device) {
  SimilarityMask mask;
  if (mask_duplicates && info.ids.defined()) mask.row_ids = mask.column_ids = info.ids.to(device);
  return mask;
}

SimilarityMask detail::mask_of_pairs(bool mask_duplicates, const LocalPairs& pairs) {
  auto mask = mask_of_pairs(mask_duplicates, pairs.info, pairs.all_a.device());
  mask.positive_offset = pairs.first;
  if (mask.row_ids.defined()) mask.row_ids = pairs.own(mask.row_ids);
  return mask;
}

SimilarityLogSumExp similarity_logsumexp(const Tensor& a, const Tensor& b, const Tensor& scale,
                                         const SimilarityMask& mask) {
  check_vectors(a, b, scale);
  check_ids(mask.row_ids, a.size(0));
  check_ids(mask.column_ids, b.size(0));
  if (mask.row_ids.defined() != mask.column_ids.defined())
    throw InvalidArgument("similarity_logsumexp: give the ids of rows and columns, or neither");
  if (mask.self_offset == mask.positive_offset)
    throw InvalidArgument(fmt::format(
        "similarity_logsumexp: self_offset {} leaves out the positives: they have the same offset", *mask.self_offset));
  if (mask.positive_offset < 0)
    throw InvalidArgument(
        fmt::format("similarity_logsumexp: positive_offset is {}; it must not be negative", mask.positive_offset));
  const auto values = PairFunction::apply(a, b, scale, mask);
  return {values[0], values[1], values[2]};
}

SimilarityLogSumExp self_similarity_logsumexp(const Tensor& z, const Tensor& scale, std::int64_t positive_offset,
                                              const Tensor& ids) {
  check_vectors(z, z, scale);
  check_ids(ids, z.size(0));
  if (positive_offset < 1)
    throw InvalidArgument(
        fmt::format("self_similarity_logsumexp: positive_offset is {}; it must be positive", positive_offset));
  const auto values = SelfFunction::apply(z, scale, SimilarityMask{0, ids, ids, positive_offset});
  return {values[0], values[0], values[1]};
}

}  // namespace sslmeme
