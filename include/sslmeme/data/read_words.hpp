// Words read off a picture by Tesseract, for memes that come without a text.
#pragma once

#include <sslmeme/core/image.hpp>
#include <sslmeme/data/dataset.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace sslmeme {

struct WordReaderOptions {
  std::string language = "eng";       ///< of Tesseract's models, several joined by "+": "eng+deu"
  std::filesystem::path models = {};  ///< folder of LANGUAGE.traineddata; empty: Tesseract's own
  double min_confidence = 0.5;        ///< in [0, 1]: words that Tesseract is less sure of are taken for the picture's
};

/// Reads the words of memes: white capitals with a black outline on a photograph, or dark letters on a light ground.
///
/// The picture is enlarged so that letters have the height that Tesseract was trained on, and read twice: as it is, in
/// grey, and with everything dark but what is nearly white, turned round to black letters on white. The reading with
/// more letters of confidence is taken. Thread-safe: each thread that reads at the same time gets an engine of its own
/// (about 30 MB); copies share them. The same picture gives the same words.
class WordReader {
 public:
  /// Whether this build has Tesseract.
  static bool available();

  /// Throws InvalidArgument where this build has no Tesseract, naming what to install, and for a confidence out of
  /// range; IoError where the language's model is missing.
  explicit WordReader(const WordReaderOptions& options = {});

  /// The words from top to bottom, lines joined by a blank; empty where there are none. Throws InvalidArgument for an
  /// empty picture.
  std::string read(const Image& picture) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// A dataset whose samples without a text have the words that are read off their picture.
class WithReadWords {
 public:
  WithReadWords(AnyDataset data, WordReader reader) : data_{std::move(data)}, reader_{std::move(reader)} {}

  std::size_t size() const { return data_.size(); }
  /// Reads the words too, where there are none.
  Sample get(std::size_t i) const {
    auto sample = data_.get(i);
    if (sample.text.empty()) sample.text = reader_.read(sample.picture);
    return sample;
  }
  std::int64_t id(std::size_t i) const { return data_.id(i); }
  bool knows_ids() const { return data_.knows_ids(); }
  std::optional<std::int64_t> label(std::size_t i) const { return data_.label(i); }
  /// Reads the words too, where there are none.
  std::string text(std::size_t i) const {
    auto text = data_.text(i);
    return text.empty() ? get(i).text : text;
  }
  std::string source(std::size_t i) const { return data_.source(i); }
  std::vector<std::byte> bytes(std::size_t i) const { return data_.bytes(i); }

 private:
  AnyDataset data_;
  WordReader reader_;
};

}  // namespace sslmeme
