// What tests ask of a loader: its batches, their samples, whether two are the same.
#pragma once

#include <sslmeme/data/loader.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace sslmeme::test {

inline std::vector<Batch> batches_of(DataLoader& loader, std::int64_t epoch, std::int64_t first = 0, int views = 0) {
  loader.start_epoch(epoch, first, views);
  std::vector<Batch> batches;
  while (auto batch = loader.next()) batches.push_back(std::move(*batch));
  return batches;
}

inline std::vector<std::int64_t> ids_of(const Batch& batch) {
  return {batch.ids.data_ptr<std::int64_t>(), batch.ids.data_ptr<std::int64_t>() + batch.size()};
}

inline std::vector<std::int64_t> ids_of(const std::vector<Batch>& batches) {
  std::vector<std::int64_t> all;
  for (const auto& batch : batches) {
    const auto ids = ids_of(batch);
    all.insert(all.end(), ids.begin(), ids.end());
  }
  return all;
}

inline void check_same(const Batch& a, const Batch& b) {
  REQUIRE(a.views.size() == b.views.size());
  for (std::size_t v = 0; v < a.views.size(); ++v) CHECK(torch::equal(a.views[v], b.views[v]));
  CHECK(torch::equal(a.ids, b.ids));
  CHECK(torch::equal(a.labels, b.labels));
  REQUIRE(a.tokens.defined() == b.tokens.defined());
  CHECK(a.padding == b.padding);
  if (!a.tokens.defined()) return;
  CHECK(torch::equal(a.tokens, b.tokens));
  CHECK(torch::equal(a.mask, b.mask));
}

inline void check_same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) check_same(a[i], b[i]);
}

}  // namespace sslmeme::test
