#include <sslmeme/data/read_words.hpp>

#include <sslmeme/core/error.hpp>

#include <fmt/format.h>

#ifdef SSLMEME_TESSERACT
#include <tesseract/baseapi.h>
#include <tesseract/resultiterator.h>

#include <dlfcn.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>
#endif

namespace sslmeme {

#ifdef SSLMEME_TESSERACT

namespace {

/// 8-bit grey, row by row.
struct Grey {
  int width = 0, height = 0;
  std::vector<std::uint8_t> pixels;
};

/// tone(r, g, b) of each pixel.
template <class Tone>
Grey grey_of(const Image& picture, const Tone& tone) {
  Grey grey{picture.width, picture.height, {}};
  grey.pixels.reserve(picture.pixels.size() / 3);
  for (std::size_t i = 0; i < picture.pixels.size(); i += 3)
    grey.pixels.push_back(tone(picture.pixels[i], picture.pixels[i + 1], picture.pixels[i + 2]));
  return grey;
}

Grey luminance(const Image& picture) {
  return grey_of(picture,
                 [](int r, int g, int b) { return static_cast<std::uint8_t>((299 * r + 587 * g + 114 * b) / 1000); });
}

/// Black where all three channels are nearly white, white elsewhere, with a ramp between that keeps the letters' edges.
Grey white_letters(const Image& picture) {
  constexpr int dark = 210, light = 250;
  return grey_of(picture, [](int r, int g, int b) {
    const int least = std::min({r, g, b});
    return static_cast<std::uint8_t>(255 - std::clamp((least - dark) * 255 / (light - dark), 0, 255));
  });
}

/// Bilinear, pixel centres aligned.
Grey enlarged(const Grey& grey, double factor) {
  Grey large{
      static_cast<int>(std::lround(grey.width * factor)), static_cast<int>(std::lround(grey.height * factor)), {}};
  large.pixels.resize(static_cast<std::size_t>(large.width) * static_cast<std::size_t>(large.height));
  const auto place = [&](int i, int size) {  // the pixel before, and how far behind it
    const double at = std::clamp((i + 0.5) / factor - 0.5, 0.0, size - 1.0);
    const int before = std::min(static_cast<int>(at), std::max(size - 2, 0));
    return std::pair{before, at - before};
  };
  auto* to = large.pixels.data();
  for (int y = 0; y < large.height; ++y) {
    const auto [top, down] = place(y, grey.height);
    const auto* above = grey.pixels.data() + static_cast<std::size_t>(top) * static_cast<std::size_t>(grey.width);
    const auto* below = grey.height > 1 ? above + grey.width : above;
    for (int x = 0; x < large.width; ++x) {
      const auto [left, across] = place(x, grey.width);
      const int right = grey.width > 1 ? left + 1 : left;
      const double upper = above[left] + (above[right] - above[left]) * across;
      const double lower = below[left] + (below[right] - below[left]) * across;
      *to++ = static_cast<std::uint8_t>(std::lround(upper + (lower - upper) * down));
    }
  }
  return large;
}

/// So that a letter of a caption, about a twelfth of the picture, gets some 30 to 40 pixels, as the models were
/// trained.
double factor_of(const Image& picture) {
  constexpr double wanted = 600, most = 8;
  return std::clamp(wanted / std::min(picture.width, picture.height), 0.25, most);
}

struct Line {
  int top = 0;
  std::string words;
};

struct Reading {
  std::vector<Line> lines;
  double certainty = 0;  ///< Σ over words of letters × confidence
};

std::size_t letters_in(const std::string& word) {
  return static_cast<std::size_t>(std::ranges::count_if(word, [](char c) {
    return (static_cast<unsigned char>(c) & 0x80U) != 0 || std::isalnum(static_cast<unsigned char>(c)) != 0;
  }));
}

using Engine = tesseract::TessBaseAPI;

Reading read_page(Engine& engine, const Grey& page, double min_confidence) {
  engine.SetImage(page.pixels.data(), page.width, page.height, 1, page.width);
  engine.SetSourceResolution(300);
  Reading reading;
  if (engine.Recognize(nullptr) != 0) return reading;
  const std::unique_ptr<tesseract::ResultIterator> it{engine.GetIterator()};
  if (!it) return reading;
  constexpr auto level = tesseract::RIL_WORD;
  bool fresh_line = true;
  do {
    fresh_line = fresh_line || it->IsAtBeginningOf(tesseract::RIL_TEXTLINE);
    const std::unique_ptr<char[]> found{it->GetUTF8Text(level)};
    const double confidence = it->Confidence(level) / 100.0;
    if (!found || confidence < min_confidence) continue;
    const std::string word{found.get()};
    const auto letters = letters_in(word);
    if (letters == 0) continue;
    if (std::exchange(fresh_line, false)) {
      int left = 0, top = 0, right = 0, bottom = 0;
      it->BoundingBox(level, &left, &top, &right, &bottom);
      reading.lines.push_back({top, word});
    } else {
      reading.lines.back().words += ' ' + word;
    }
    reading.certainty += static_cast<double>(letters) * confidence;
  } while (it->Next(level));
  engine.Clear();
  return reading;
}

/// f() with one thread of OpenMP: Tesseract asks for four, which takes twice the time of the cores, and many times that
/// of the clock where the loader's workers have the cores already. What `omp teams thread_limit(1)` compiles to is
/// asked of the OpenMP that runs, LibTorch's, since compiled code would bring another.
template <class F>
void with_one_thread(F f) {
  using Teams = void (*)(void (*)(void*), void*, unsigned teams, unsigned thread_limit, unsigned flags);
  static const auto teams = reinterpret_cast<Teams>(::dlsym(RTLD_DEFAULT, "GOMP_teams_reg"));
  if (teams == nullptr) return f();
  struct Call {
    F& f;
    std::exception_ptr error = {};
  } call{f};
  const auto run = [](void* given) {
    auto& self = *static_cast<Call*>(given);
    try {
      self.f();
    } catch (...) {  // must not pass through frames of C
      self.error = std::current_exception();
    }
  };
  teams(run, &call, 1, 1, 0);
  if (call.error) std::rethrow_exception(call.error);
}

std::string text_of(Reading reading) {
  std::ranges::stable_sort(reading.lines, {}, &Line::top);
  std::string text;
  for (const auto& line : reading.lines) text += (text.empty() ? "" : " ") + line.words;
  return text;
}

std::unique_ptr<Engine> make_engine(const WordReaderOptions& options) {
  auto engine = std::make_unique<Engine>();
  const auto folder = options.models.string();
  engine->SetVariable("debug_file", "/dev/null");  // it would speak on stderr
  if (engine->Init(folder.empty() ? nullptr : folder.c_str(), options.language.c_str(), tesseract::OEM_LSTM_ONLY) !=
      0) {
    throw IoError(fmt::format("Tesseract has no model of the language \"{}\"{}: install tesseract-ocr-{}",
                              options.language, folder.empty() ? "" : " in " + folder,
                              options.language.substr(0, options.language.find('+'))));
  }
  engine->SetVariable("debug_file", "/dev/null");
  engine->SetPageSegMode(tesseract::PSM_SPARSE_TEXT);
  return engine;
}

}  // namespace

/// Engines that nobody uses just now.
struct WordReader::State {
  WordReaderOptions options;
  std::mutex mutex;
  std::vector<std::unique_ptr<Engine>> idle;

  std::unique_ptr<Engine> take() {
    {
      const std::lock_guard lock{mutex};
      if (!idle.empty()) {
        auto engine = std::move(idle.back());
        idle.pop_back();
        return engine;
      }
    }
    return make_engine(options);
  }
  void give_back(std::unique_ptr<Engine> engine) {
    engine->ClearAdaptiveClassifier();  // what it read before must not tell in what it reads next
    const std::lock_guard lock{mutex};
    idle.push_back(std::move(engine));
  }
};

bool WordReader::available() {
  return true;
}

WordReader::WordReader(const WordReaderOptions& options) : state_{std::make_shared<State>()} {
  if (!(options.min_confidence >= 0 && options.min_confidence <= 1)) {
    throw InvalidArgument(
        fmt::format("WordReaderOptions::min_confidence is {}: must be within 0 and 1", options.min_confidence));
  }
  state_->options = options;
  state_->idle.push_back(make_engine(options));
}

std::string WordReader::read(const Image& picture) const {
  if (picture.empty()) throw InvalidArgument("WordReader: the picture is empty");
  const auto factor = factor_of(picture);
  auto engine = state_->take();
  const auto& o = state_->options;
  Reading as_it_is, white;
  with_one_thread([&] {
    as_it_is = read_page(*engine, enlarged(luminance(picture), factor), o.min_confidence);
    white = read_page(*engine, enlarged(white_letters(picture), factor), o.min_confidence);
  });
  state_->give_back(std::move(engine));
  return text_of(white.certainty >= as_it_is.certainty ? std::move(white) : std::move(as_it_is));
}

#else

struct WordReader::State {};

bool WordReader::available() {
  return false;
}

WordReader::WordReader(const WordReaderOptions& /*options*/) {
  throw InvalidArgument(
      "this build of sslmeme cannot read words off pictures: install libtesseract-dev and tesseract-ocr-eng, and build "
      "again");
}

std::string WordReader::read(const Image& /*picture*/) const {
  return {};
}

#endif

}  // namespace sslmeme
