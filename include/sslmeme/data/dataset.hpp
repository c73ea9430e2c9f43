// Dataset: the concept that every source of memes meets, and AnyDataset, which holds any of them.
#pragma once

#include <sslmeme/core/batch.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace sslmeme {

/// `size()` and `get(i)` for i < size(), both const; `get` is called from several threads at once.
///
/// Five more members are used where a type has them, and save decoding the picture: `id(i)`, `label(i)`, `text(i)` with
/// the types of Sample's members, `source(i)`, a string that names the sample in messages (its picture file, say), and
/// `bytes(i)`, the picture's encoded file as a std::vector<std::byte>, by whose hash duplicates are found. A dataset
/// that hands `id` on to another one says by `knows_ids()` whether that one has it.
template <class D>
concept Dataset = std::move_constructible<D> && requires(const D& data, std::size_t i) {
  { data.size() } -> std::convertible_to<std::size_t>;
  { data.get(i) } -> std::convertible_to<Sample>;
};

/// Any dataset as a value. Copies share the dataset, which is never changed.
class AnyDataset {
 public:
  /// Takes a dataset by value.
  template <class D>
    requires(!std::same_as<std::remove_cvref_t<D>, AnyDataset>)
  AnyDataset(D data) {  // implicit: whoever takes an AnyDataset takes every dataset
    static_assert(Dataset<D>,
                  "sslmeme: this type is no Dataset: it needs `size() const` and `Sample get(std::size_t) const`");
    if constexpr (Dataset<D>) model_ = std::make_shared<const Model<D>>(std::move(data));
  }

  std::size_t size() const { return model_->size(); }
  /// The sample at position `i`, picture decoded. Throws InvalidArgument for i ≥ size(), and what the dataset throws.
  Sample get(std::size_t i) const { return model_->get(checked(i)); }
  /// The sample's id; decodes the picture only if the dataset has no `id`. The same holds for `label` and `text`.
  std::int64_t id(std::size_t i) const { return model_->id(checked(i)); }
  /// Whether `id` is told without decoding pictures.
  bool knows_ids() const { return model_->knows_ids(); }
  std::optional<std::int64_t> label(std::size_t i) const { return model_->label(checked(i)); }
  std::string text(std::size_t i) const { return model_->text(checked(i)); }
  /// The name of the sample in messages; empty if the dataset has no `source`.
  std::string source(std::size_t i) const { return model_->source(checked(i)); }
  /// The picture's encoded file; empty if the dataset has no `bytes`.
  std::vector<std::byte> bytes(std::size_t i) const { return model_->bytes(checked(i)); }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual std::size_t size() const = 0;
    virtual Sample get(std::size_t i) const = 0;
    virtual std::int64_t id(std::size_t i) const = 0;
    virtual bool knows_ids() const = 0;
    virtual std::optional<std::int64_t> label(std::size_t i) const = 0;
    virtual std::string text(std::size_t i) const = 0;
    virtual std::string source(std::size_t i) const = 0;
    virtual std::vector<std::byte> bytes(std::size_t i) const = 0;
  };

  template <class D>
  struct Model final : Interface {
    explicit Model(D data_) : data{std::move(data_)} {}
    std::size_t size() const override { return data.size(); }
    Sample get(std::size_t i) const override { return data.get(i); }
    std::int64_t id(std::size_t i) const override {
      if constexpr (requires { data.id(i); })
        return data.id(i);
      else
        return get(i).id;
    }
    bool knows_ids() const override {
      if constexpr (requires { data.knows_ids(); })
        return data.knows_ids();
      else
        return requires(std::size_t i) { data.id(i); };
    }
    std::optional<std::int64_t> label(std::size_t i) const override {
      if constexpr (requires { data.label(i); })
        return data.label(i);
      else
        return get(i).label;
    }
    std::string text(std::size_t i) const override {
      if constexpr (requires { data.text(i); })
        return std::string{data.text(i)};
      else
        return get(i).text;
    }
    std::string source(std::size_t i) const override {
      if constexpr (requires { data.source(i); })
        return std::string{data.source(i)};
      else
        return {};
    }
    std::vector<std::byte> bytes(std::size_t i) const override {
      if constexpr (requires {
                      { data.bytes(i) } -> std::same_as<std::vector<std::byte>>;
                    })
        return data.bytes(i);
      else
        return {};
    }
    D data;
  };

  std::size_t checked(std::size_t i) const;

  std::shared_ptr<const Interface> model_;
};

/// Some samples of a dataset, in the order of `indices`; an index may occur more than once.
class Subset {
 public:
  /// Throws InvalidArgument for an index ≥ data.size().
  Subset(AnyDataset data, std::vector<std::size_t> indices);

  std::size_t size() const { return indices_->size(); }
  Sample get(std::size_t i) const { return data_.get(indices_->at(i)); }
  std::int64_t id(std::size_t i) const { return data_.id(indices_->at(i)); }
  bool knows_ids() const { return data_.knows_ids(); }
  std::optional<std::int64_t> label(std::size_t i) const { return data_.label(indices_->at(i)); }
  std::string text(std::size_t i) const { return data_.text(indices_->at(i)); }
  std::string source(std::size_t i) const { return data_.source(indices_->at(i)); }
  std::vector<std::byte> bytes(std::size_t i) const { return data_.bytes(indices_->at(i)); }

 private:
  AnyDataset data_;
  std::shared_ptr<const std::vector<std::size_t>> indices_;
};

}  // namespace sslmeme
