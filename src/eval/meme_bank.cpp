#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/eval/meme_scorer.hpp>

#include "eval/evaluation_scope.hpp"
#include "eval/finite_rows.hpp"
#include "eval/scorer_features.hpp"
#include "eval/scorer_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace sslmeme {
namespace {

/// At most `most` of the rising positions: a random choice, in order.
template <class Position>
std::vector<Position> choose(std::vector<Position> positions, std::int64_t most, std::uint64_t seed) {
  if (std::ssize(positions) <= most) return positions;
  Rng{seed}.shuffle(std::span{positions});
  positions.resize(static_cast<std::size_t>(most));
  std::ranges::sort(positions);
  return positions;
}

std::vector<std::size_t> labelled_in(const AnyDataset& data) {
  std::vector<std::size_t> labelled;
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (data.label(i)) labelled.push_back(i);
  }
  return labelled;
}

/// Rows that come batch by batch.
class Rows {
 public:
  explicit Rows(std::int64_t n) : n_{n} {}
  void add(const Tensor& some) {
    if (!some.defined()) return;
    if (!all_.defined()) all_ = torch::empty({n_, some.size(1)});
    all_.narrow(0, done_, some.size(0)).copy_(some);
    done_ += some.size(0);
  }
  /// The rows that came, perhaps fewer than n; undefined where none did.
  Tensor all() const { return all_.defined() ? all_.narrow(0, 0, done_) : Tensor{}; }

 private:
  std::int64_t n_, done_ = 0;  // rows that may come, that came
  Tensor all_;
};

/// The features of `rows`; undefined where there are none.
Tensor some_of(const Tensor& features, const Tensor& rows) {
  return features.defined() ? features.index_select(0, rows) : Tensor{};
}

void require_finite(const Tensor& features, const Tensor& ids) {
  if (!features.defined()) return;
  if (const auto row = detail::first_row_not_finite(features))
    throw NonFiniteError(fmt::format("a feature of sample {} is not finite", ids[*row].item<std::int64_t>()));
}

}  // namespace

MemeBank make_bank(Supervised& classifier, const AnyDataset& data, std::shared_ptr<const Tokenizer> tokenizer,
                   const ScorerSettings& settings, const BankOptions& options) {
  detail::check_settings(settings);
  if (options.max_memes < 0)
    throw InvalidArgument(fmt::format("BankOptions::max_memes is {}: must be 0 or more", options.max_memes));
  if (options.background < 1)
    throw InvalidArgument(fmt::format("BankOptions::background is {}: must be positive", options.background));
  if (options.unreadable.policy == UnreadablePolicy::substitute)
    throw InvalidArgument("BankOptions::unreadable is substitute, but no meme stands for another: leave_out or fail");
  const auto chosen = choose(labelled_in(data), options.max_memes, derive_seed({options.seed}));
  if (chosen.empty()) return {};
  MemeBank bank;
  const Subset memes{data, chosen};
  for (std::size_t i = 0; i < memes.size(); ++i)
    bank.memes.push_back({memes.id(i), *memes.label(i), memes.text(i), memes.source(i)});

  const detail::EvaluationScope evaluation{*classifier.module()};
  const auto device = evaluation.device();
  DataLoader loader{memes,
                    eval_views({.size = settings.size}),
                    {.batch_size = options.batch_size,
                     .workers = options.workers,
                     .shuffle = false,
                     .drop_last = false,
                     .tokenizer = std::move(tokenizer),
                     .max_tokens = settings.max_tokens,
                     .unreadable = options.unreadable}};
  const auto n = static_cast<std::int64_t>(chosen.size());
  Rows images{n}, texts{n};
  loader.start_epoch(0);
  while (const auto batch = loader.next()) {
    auto features = detail::encode(classifier, batch->to(device), Precision::fp32);
    if (features.image.defined()) features.image = features.image.cpu();
    if (features.text.defined()) features.text = features.text.cpu();
    require_finite(features.image, batch->ids);
    require_finite(features.text, batch->ids);
    images.add(features.image);
    texts.add(features.text);
  }
  const auto& left_out = loader.quarantine().samples;  // in the order of the memes
  for (auto sample = left_out.rbegin(); sample != left_out.rend(); ++sample)
    bank.memes.erase(bank.memes.begin() + static_cast<std::ptrdiff_t>(sample->position));
  if (bank.memes.empty()) return {};
  std::vector<std::int64_t> rows(bank.memes.size());
  std::iota(rows.begin(), rows.end(), 0);
  const auto background = torch::tensor(choose(std::move(rows), options.background, derive_seed({options.seed, 1})));
  bank.image_background = some_of(images.all(), background);
  bank.text_background = some_of(texts.all(), background);
  bank.features = detail::joint({images.all(), texts.all()});
  return bank;
}

void save_scorer(const std::filesystem::path& run, Supervised& classifier, const AnyDataset& labelled,
                 std::shared_ptr<const Tokenizer> tokenizer, const ScorerSettings& settings, const BankOptions& options,
                 const std::filesystem::path& merges) {
  if (std::error_code error; !std::filesystem::exists(run / "model.safetensors", error)) {
    throw InvalidArgument(
        fmt::format("{} is no finished run, it has no model.safetensors: train to the end first", run.string()));
  }
  if (!classifier.text()) tokenizer = nullptr;
  auto bank = make_bank(classifier, labelled, tokenizer, settings, options);
  detail::write_scorer_files(run, {settings, std::move(tokenizer), std::move(bank)}, merges);
}

}  // namespace sslmeme
