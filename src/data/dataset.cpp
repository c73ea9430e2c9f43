#include <sslmeme/core/error.hpp>
#include <sslmeme/data/dataset.hpp>

#include <fmt/format.h>

namespace sslmeme {

std::size_t AnyDataset::checked(std::size_t i) const {
  if (i >= size()) throw InvalidArgument(fmt::format("sample {} of a dataset of {}: count from 0", i, size()));
  return i;
}

Subset::Subset(AnyDataset data, std::vector<std::size_t> indices)
    : data_{std::move(data)}, indices_{std::make_shared<const std::vector<std::size_t>>(std::move(indices))} {
  for (std::size_t i = 0; i < indices_->size(); ++i) {
    if ((*indices_)[i] >= data_.size()) {
      throw InvalidArgument(fmt::format("Subset: index {} at position {}, but the dataset has {} samples: count from 0",
                                        (*indices_)[i], i, data_.size()));
    }
  }
}

}  // namespace sslmeme
