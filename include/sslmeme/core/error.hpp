// The exceptions of sslmeme. Every message says what was wrong, shows the values and names the remedy, in one line:
// programs print it on stderr and return 1.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace sslmeme {

/// Base of everything that sslmeme throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An argument or option that cannot work: a shape, a range, an unknown name.
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// A file whose content cannot be used: a malformed line, a corrupt picture, weights that do not fit.
class DataError : public Error {
 public:
  using Error::Error;
};

/// Why a picture cannot be used, for counts.
enum class PictureFault { unknown_format, too_large, truncated, corrupt, missing };

/// "unknown format", "too large", "truncated", "corrupt" or "missing".
constexpr std::string_view name_of(PictureFault fault) {
  switch (fault) {
    case PictureFault::unknown_format:
      return "unknown format";
    case PictureFault::too_large:
      return "too large";
    case PictureFault::truncated:
      return "truncated";
    case PictureFault::corrupt:
      return "corrupt";
    case PictureFault::missing:
      return "missing";
  }
  return "corrupt";
}

/// A picture that cannot be decoded, or that a manifest names and is not there.
class PictureError : public DataError {
 public:
  PictureError(PictureFault fault, const std::string& what) : DataError{what}, fault_{fault} {}
  PictureFault fault() const { return fault_; }

 private:
  PictureFault fault_;
};

/// The operating system refused: a missing folder, no permission, no space left.
class IoError : public Error {
 public:
  using Error::Error;
};

/// A loss or gradient stopped being finite. Parameters are left as they were before the step.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

}  // namespace sslmeme
