// Memes in tar archives, as WebDataset packs them, and an order that reads one archive after the other.
#pragma once

#include <sslmeme/core/batch.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/data/sampler.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sslmeme {

struct TarShardOptions {
  DecodeLimits limits = {};                                  ///< what a picture may cost
  std::vector<std::string> text_keys = {"text", "caption"};  ///< of a .json member: the first that is there
  std::string label_key = "label";                           ///< of a .json member
  bool number_ids = true;                 ///< a key that is a whole number is the id; false where shards count anew
  std::int64_t max_members = 1'000'000;   ///< of one shard
  std::int64_t max_text_bytes = 1 << 20;  ///< of one .txt, .cls or .json member
};

/// A dataset in WebDataset's layout (github.com/webdataset/webdataset): plain tar archives, "shards", in which the
/// members of a sample stand side by side and share a key, which is their path up to the first dot of the file name:
///
///   000042.jpg   the picture: .jpg, .jpeg, .png, .webp, .gif or .bmp, one a sample; what it is tells its content
///   000042.txt   the words, without the last line break; malformed UTF-8 becomes U+FFFD
///   000042.cls   the label, a whole number from 0
///   000042.json  an object with words and label, used where .txt and .cls are missing
///
/// Other extensions, hidden files and names without a dot are passed over. A sample's id is its key if that is a whole
/// number, and else a hash of key and shard's file name, so that it stays when shards are moved or added.
///
/// This is an index, not a stream: the constructor reads the headers and seeks over the contents; `get` reads a
/// picture from its place, from any thread. A stream would tie the order to the number of readers, and batches must
/// not depend on the number of workers; it could not resume within an epoch either. An index entry takes about 100
/// bytes and the key. For the speed of a stream, on disks that want to read ahead, use ShardOrder. At most 16 shards
/// are open at a time.
class TarShards {
 public:
  /// Throws IoError for a shard that cannot be read or is no regular file; DataError, naming shard and member, for one
  /// that is compressed, truncated, damaged or beyond .max_members, that holds a link, device or pipe, no sample, a
  /// sample without or with two pictures, or a key that stands twice, and for ids that meet; InvalidArgument for no
  /// shard and for options that cannot work.
  explicit TarShards(std::vector<std::filesystem::path> shards, const TarShardOptions& options = {});

  std::size_t size() const;
  /// Decodes the picture. Throws DataError, naming shard and member, for a damaged one (PictureError), for words beyond
  /// .max_text_bytes and for a .cls or .json member that is none; IoError for a shard that is not the one that was
  /// indexed.
  Sample get(std::size_t i) const;
  std::int64_t id(std::size_t i) const;
  /// Read from the shard without decoding the picture, as `text` is. Throws as `get` does.
  std::optional<std::int64_t> label(std::size_t i) const;
  std::string text(std::size_t i) const;
  /// The picture's file as it was packed. Throws as `get` does.
  std::vector<std::byte> bytes(std::size_t i) const;
  /// The picture's place, e.g. "data/memes-000.tar:000042.jpg".
  std::string source(std::size_t i) const;

  const std::vector<std::filesystem::path>& shards() const;
  /// How many samples each shard has. Those of the first come first, in the order of the archive.
  std::vector<std::size_t> shard_sizes() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

/// The files that a pattern with braces stands for, as in a shell: "memes-{000..012}.tar" is thirteen, from
/// memes-000.tar on; "{train,dev}-{0..9}.tar" twenty. Nothing is opened. Throws InvalidArgument for braces that do not
/// match or are nested, a range that goes down and more than 100,000 files.
std::vector<std::filesystem::path> expand_shards(const std::string& pattern);

/// The shards of one rank: every ranks-th, from number `rank` on. For a TarShards that does not even index those of
/// others; give ShardOrder .draws then, since ranks must make the same number of steps. Throws InvalidArgument if there
/// are fewer shards than ranks.
std::vector<std::filesystem::path> shards_of(const std::vector<std::filesystem::path>& shards, std::int64_t rank,
                                             std::int64_t ranks);

struct ShardOrderOptions {
  std::size_t window = 1000;  ///< samples that are mixed: more mix better, fewer read closer together; 1: none
  std::int64_t ranks = 1;     ///< processes that share the dataset, LoaderOptions' own
  std::size_t draws = 0;      ///< positions of an epoch, of all ranks together; 0: enough for every sample
};

/// A sampler that reads nearly in sequence, as WebDataset's shuffle(window) does: the shards come in a new order each
/// epoch, and each next sample is drawn from the `window` that come first in the sequence of the rest. So a sample
/// comes at most window − 1 draws before its turn.
///
/// With ranks, rank r reads from the shards r, r + ranks, … alone. Each step has equally many samples of every rank,
/// those of rank 0 first, as DataLoader shares them out (but for a last step that .pad_last fills up); ranks with fewer
/// samples begin again until the one with most has had its own.
///
///   const TarShards data{expand_shards("memes-{000..012}.tar")};
///   const ShardOrder order{data.shard_sizes(), {.window = 2000}};
class ShardOrder {
 public:
  /// shard_sizes: samples of each shard, TarShards::shard_sizes(). Throws InvalidArgument for fewer shards than ranks,
  /// an empty shard, a window or ranks under 1 and draws that do not divide by ranks.
  explicit ShardOrder(std::vector<std::size_t> shard_sizes, const ShardOrderOptions& options = {});

  /// The shards, by number, that `rank` reads from.
  std::vector<std::size_t> shards_of(std::int64_t rank) const;
  /// Throws InvalidArgument for a batch size that does not divide by ranks.
  std::vector<std::size_t> order(const SamplerEpoch& epoch) const;
  /// Throws InvalidArgument unless `samples` is the sum of shard_sizes.
  std::size_t draws(std::size_t samples) const;

 private:
  std::vector<std::size_t> sequence(std::int64_t rank, const SamplerEpoch& epoch) const;

  std::vector<std::size_t> sizes_, starts_;
  ShardOrderOptions options_;
  std::size_t draws_ = 0;  // of one rank
};

}  // namespace sslmeme
