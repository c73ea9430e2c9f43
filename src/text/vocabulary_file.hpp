// Vocabularies as files: plain, or compressed by gzip.
#pragma once

#include <filesystem>
#include <string>

namespace sslmeme::detail {

/// The text of a file, inflated where it begins as gzip does. Throws IoError when it cannot be read and DataError when
/// it is corrupt, cut off, or larger than 64 MiB, inflated or not.
std::string read_vocabulary(const std::filesystem::path& path);

}  // namespace sslmeme::detail
