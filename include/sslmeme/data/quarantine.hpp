// Quarantine: what a loader does with samples that cannot be read, and the list of those that it came upon.
#pragma once

#include <sslmeme/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sslmeme {

/// What a loader does when a dataset throws DataError, of which PictureError is one. Other errors are always rethrown:
/// a disk that fails is no reason to train on other samples.
enum class UnreadablePolicy {
  fail,        ///< rethrow it: right for evaluation
  substitute,  ///< another sample takes the place; noted in DataLoader::quarantine()
  leave_out,  ///< its batch has one row fewer; noted in DataLoader::quarantine(): right for scoring what strangers send
};

struct Unreadable {
  UnreadablePolicy policy = UnreadablePolicy::fail;
  /// When a larger share of the samples that a loader's epochs ask for, on its rank, is unreadable, it is an error.
  double abort_above = 0.01;
};

/// A sample that could not be read.
struct UnreadableSample {
  std::size_t position = 0;           ///< in the dataset
  std::optional<std::int64_t> id;     ///< none where only the whole sample would tell
  std::string source;                 ///< of the dataset: its file, say; may be empty
  std::optional<PictureFault> fault;  ///< none where the error was no PictureError
  std::string reason;                 ///< the error's message

  /// name_of(fault), or "other" without one.
  std::string_view fault_name() const { return fault ? name_of(*fault) : "other"; }
};

/// What a loader could not read since it was made.
struct Quarantine {
  std::vector<UnreadableSample> samples;  ///< each once, in the order in which the batches came upon them
  std::int64_t substituted = 0;           ///< rows of batches that another sample took, over all epochs
  std::int64_t left_out = 0;              ///< rows that batches lack, over all epochs

  /// How many of `samples` have which fault, by its fault_name(); none that is 0.
  std::vector<std::pair<std::string, std::int64_t>> counts() const;
};

/// The name of the file in a run directory that lists what a rank could not read: quarantine.jsonl, of ranks other than
/// 0 quarantine.rank-N.jsonl.
std::string quarantine_file(std::int64_t rank);

}  // namespace sslmeme
