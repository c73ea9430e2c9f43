#include "data/picture_scan.hpp"

#include <sslmeme/core/error.hpp>

#include "core/shown.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <exception>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>

namespace sslmeme::detail {

namespace {

constexpr bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

constexpr bool begins_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
}

Digest picture_digest(const AnyDataset& data, std::size_t i, const Image& picture) {
  if (const auto bytes = data.bytes(i); !bytes.empty()) return digest_of_bytes(bytes);
  const auto size = static_cast<std::uint64_t>(picture.width) << 32U | static_cast<std::uint64_t>(picture.height);
  return digest_of_bytes(std::as_bytes(std::span{picture.pixels}), size);
}

/// Sets `facts` from the whole sample.
void read_sample(const AnyDataset& data, std::size_t i, SampleFacts& facts) {
  const auto sample = data.get(i);
  facts.digest = picture_digest(data, i, sample.picture);
  facts.signature = signature_of(sample.picture);
  facts.width = sample.picture.width;
  facts.height = sample.picture.height;
  facts.id = sample.id;
  facts.label = sample.label;
  facts.caption = caption_facts(sample.text);
  facts.readable = true;
}

/// What a dataset tells of a sample whose picture cannot be read; one that would have to decode it tells nothing.
template <class Read>
void try_read(const Read& read) {
  try {
    read();
  } catch (const DataError&) {
  } catch (const IoError&) {
  }
}

UnreadableSample unreadable_sample(const AnyDataset& data, std::size_t i, SampleFacts& facts) {
  UnreadableSample sample;
  sample.position = i;
  sample.source = data.source(i);
  try_read([&] { sample.id = facts.id = data.id(i); });
  try_read([&] { facts.label = data.label(i); });
  try_read([&] { facts.caption = caption_facts(data.text(i)); });
  return sample;
}

/// Calls work(i) for every i below n on so many threads, 0: on this one. The first exception ends it and is thrown.
template <class Work>
void for_each_on_threads(std::size_t n, int workers, const Work& work) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&] {
    try {
      for (auto i = next++; i < n; i = next++) work(i);
    } catch (...) {
      next = n;
      const std::lock_guard lock{mutex};
      if (!failure) failure = std::current_exception();
    }
  };
  if (workers == 0) {
    run();
  } else {
    std::vector<std::jthread> threads;
    for (int worker = 0; worker < workers && std::cmp_less(worker, n); ++worker) threads.emplace_back(run);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

Digest digest_of_bytes(std::span<const std::byte> bytes, std::uint64_t seed) {
  Digest digest{mixed(seed ^ 0x9E3779B97F4A7C15U), mixed(seed ^ bytes.size())};
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min(sizeof word, bytes.size() - at));
    digest.a = std::rotl((digest.a ^ word) * 0x87C37B91114253D5U, 31);
    digest.b = std::rotl((digest.b + word) * 0x4CF5AD432745937FU, 29) ^ digest.b;
  }
  return {mixed(digest.a), mixed(digest.b)};
}

CaptionFacts caption_facts(std::string_view text) {
  CaptionFacts facts;
  std::string words;
  for (std::size_t at = 0; at < text.size();) {
    const bool space = is_space(text[at]);
    auto end = at;
    while (end < text.size() && is_space(text[end]) == space) ++end;
    if (!space) {
      if (facts.words++ > 0) words += ' ';
      words += ascii_lower(text.substr(at, end - at));
    }
    at = end;
  }
  facts.characters = static_cast<std::uint32_t>(std::ranges::count_if(text, begins_character));
  if (facts.words > 0) facts.hash = std::max<std::uint64_t>(1, digest_of_bytes(std::as_bytes(std::span{words})).a);
  return facts;
}

PictureScan::PictureScan(std::span<const NamedDataset> splits, const InspectOptions& options)
    : unreadable_(splits.size()) {
  std::size_t total = 0;
  for (const auto& split : splits) ends_.push_back(total += split.data.size());
  facts_.resize(total);
  std::mutex mutex;
  std::size_t done = 0;

  const auto note_unreadable = [&](std::size_t i, std::optional<PictureFault> fault, const char* reason) {
    const auto split = split_of(i);
    const auto position = i - begin(split);
    auto sample = unreadable_sample(splits[split].data, position, facts_[i]);
    sample.fault = fault;
    sample.reason = reason;
    const std::lock_guard lock{mutex};
    auto& [reasons, samples] = unreadable_[split];
    ++reasons[std::string{sample.fault_name()}];
    samples.emplace(position, std::move(sample));
    if (samples.size() > options.listed) samples.erase(std::prev(samples.end()));
  };
  for_each_on_threads(total, options.workers, [&](std::size_t i) {
    const auto split = split_of(i);
    try {
      read_sample(splits[split].data, i - begin(split), facts_[i]);
    } catch (const PictureError& error) {
      note_unreadable(i, error.fault(), error.what());
    } catch (const DataError& error) {
      note_unreadable(i, {}, error.what());
    } catch (const IoError& error) {
      note_unreadable(i, {}, error.what());
    }
    if (!options.progress) return;
    const std::lock_guard lock{mutex};
    options.progress(++done, total);
  });
}

std::size_t PictureScan::split_of(std::size_t i) const {
  return static_cast<std::size_t>(std::ranges::upper_bound(ends_, i) - ends_.begin());
}

std::vector<UnreadableSample> PictureScan::unreadable(std::size_t s) const {
  std::vector<UnreadableSample> samples;
  for (const auto& [position, sample] : unreadable_[s].samples) samples.push_back(sample);
  return samples;
}

}  // namespace sslmeme::detail
