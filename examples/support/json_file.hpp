// Reading back what programs wrote as JSON.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>

namespace examples {

/// read(text of the file); what is wrong with the text becomes a DataError that names the file.
template <class Read>
auto read_json(const std::filesystem::path& path, Read read) {
  const auto text = sslmeme::read_file(path);
  try {
    return read(text);
  } catch (const nlohmann::json::exception& error) {
    throw sslmeme::DataError(fmt::format("{} is damaged: {}", path.string(), error.what()));
  }
}

}  // namespace examples
