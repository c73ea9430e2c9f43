// Memes as cards: the worst mistakes with their reasons, and those on which models disagree.
#include <sslmeme/data/image_io.hpp>

#include "eval/report_chart.hpp"
#include "eval/report_html.hpp"
#include "eval/report_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <tuple>
#include <utility>

namespace sslmeme::detail {
namespace {

std::string_view class_name(bool harmful) {
  return harmful ? "harmful" : "harmless";
}

/// How far right on a scale a score stands. A threshold may be the next number above 1.
double percent(double score) {
  return 100 * std::clamp(score, 0.0, 1.0);
}

std::string picture_element(const std::string& encoded, const ReportPicture& picture, std::int64_t id) {
  return fmt::format(R"(<img src="{}" alt="Picture of meme {}" loading="lazy" decoding="async">)",
                     data_uri(encoded, picture), id);
}

/// The cells of each of eight levels as one path, so that a fine grid stays small.
std::string heat_layer(const HeatMap& heat, std::string_view css, double strongest, bool inverted) {
  constexpr std::size_t levels = 8;
  std::array<std::string, levels> paths;
  for (int row = 0; row < heat.height; ++row) {
    for (int column = 0; column < heat.width; ++column) {
      const double value = heat.values[static_cast<std::size_t>(row * heat.width + column)];
      const auto level = std::lround((inverted ? 1 - value : value) * static_cast<double>(levels));
      if (level > 0) paths[static_cast<std::size_t>(level - 1)] += fmt::format("M{} {}h1v1h-1z", column, row);
    }
  }
  auto svg = fmt::format("<g class=\"{}\">", css);
  for (std::size_t i = 0; i < levels; ++i) {
    if (!paths[i].empty())
      svg += fmt::format(R"(<path fill-opacity="{:.2f}" d="{}"/>)", strongest * static_cast<double>(i + 1) / levels,
                         paths[i]);
  }
  return svg + "</g>";
}

/// A frame around each cell that counts for a half or more.
std::string outline_layer(const HeatMap& map) {
  std::string path;
  for (int row = 0; row < map.height; ++row) {
    for (int column = 0; column < map.width; ++column) {
      if (map.values[static_cast<std::size_t>(row * map.width + column)] >= 0.5)
        path += fmt::format("M{} {}h1v1h-1z", column, row);
    }
  }
  if (path.empty()) return {};
  return fmt::format(
      R"(<svg class="heat" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true"><path class="outline" vector-effect="non-scaling-stroke" d="{}"/></svg>)",
      map.width, map.height, path);
}

std::string tinted_layer(const HeatMap& heat) {
  return fmt::format(
      R"(<svg class="heat" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}{}</svg>)", heat.width,
      heat.height, heat_layer(heat, "dark", 0.4, true), heat_layer(heat, "hot", 0.55, false));
}

/// The picture under its heat map: dark where nothing lies, tinted where much does. The frame has the picture's shape,
/// so that both cover the same.
std::string heated_picture(const ScoredMeme& meme, const std::string& encoded) {
  const auto picture = decode_image(std::as_bytes(std::span{encoded}));
  return fmt::format(R"(<div class="frame {}" style="aspect-ratio:{}/{}">{}{}{}</div>)",
                     picture.width >= picture.height ? "wide" : "tall", picture.width, picture.height,
                     picture_element(encoded, meme.picture, meme.id),
                     meme.heat.values.empty() ? "" : tinted_layer(meme.heat), outline_layer(meme.outline));
}

std::string words_of(const std::string& text) {
  return text.empty() ? "<em>(no words)</em>" : escape_html(text);
}

/// Each word behind a wash as strong as its weight, dotted as strongly as it is looked at.
std::string shaded_words(const std::vector<ShadedWord>& words) {
  std::string html;
  for (const auto& word : words) {
    const auto attention = word.attention ? std::pair{fmt::format(";--a:{:.0f}%", 100 * *word.attention),
                                                      fmt::format(", attention {:.2f}", *word.attention)}
                                          : std::pair<std::string, std::string>{};
    html += fmt::format(R"(<span class="{}" style="--w:{:.0f}%{}" title="weight {:+.2f}{}">{}</span> )",
                        word.weight >= 0 ? "for" : "against", 45 * std::min(1.0, std::abs(word.weight)),
                        attention.first, word.weight, attention.second, escape_html(word.text));
  }
  return html;
}

std::string without(const ScoredMeme& meme) {
  if (!meme.without_words && !meme.without_picture) return {};
  std::string html = "<dl class=\"without\">";
  const auto add = [&](std::string_view title, const std::optional<double>& score) {
    if (score) html += fmt::format("<div><dt>{}</dt><dd>{:.3f}</dd></div>", title, *score);
  };
  add("picture alone", meme.without_words);
  add("words alone", meme.without_picture);
  return html + "</dl>";
}

bool has_map(const ScoredMeme& meme) {
  return !meme.heat.values.empty() || !meme.outline.values.empty();
}

std::string meme_card(const ScoredMeme& meme, double threshold) {
  const bool held = meme.score >= threshold;
  const bool right = held == (meme.label == 1);
  const auto verdict = right ? fmt::format("✓ rightly held for {}", class_name(held))
                             : fmt::format("✗ held for {}, is {}", class_name(held), class_name(!held));
  const auto encoded = encoded_picture(meme.picture);
  return fmt::format(
      R"(<li class="meme {}"><div class="shot">{}</div><p class="words">{}</p>)"
      R"(<div class="score"><div class="scale" aria-hidden="true"><i style="width:{:.1f}%"></i><b style="left:{:.1f}%"></b></div>)"
      R"(score {:.3f} <span>id {}</span></div>{}<p class="verdict">{}</p></li>)"
      "\n",
      right ? "right" : "wrong",
      has_map(meme) ? heated_picture(meme, encoded) : picture_element(encoded, meme.picture, meme.id),
      meme.words.empty() ? words_of(meme.text) : shaded_words(meme.words), percent(meme.score), percent(threshold),
      meme.score, meme.id, without(meme), verdict);
}

/// One model's score on the common scale, and whether it is right.
std::string opinion(const Disagreements& all, std::size_t model, const ContestedMeme& meme) {
  const double score = meme.scores[model], threshold = all.thresholds[model];
  const bool right = (score >= threshold) == (meme.label == 1);
  return fmt::format(
      R"(<div class="{}"><dt>{}</dt><dd>{} {:.3f}<div class="scale" aria-hidden="true"><i style="width:{:.1f}%"></i><b style="left:{:.1f}%"></b></div></dd></div>)",
      right ? "right" : "wrong", escape_html(all.models[model]), right ? "✓" : "✗", score, percent(score),
      percent(threshold));
}

}  // namespace

std::string gallery_figure(const Gallery& gallery) {
  auto memes = gallery.memes;
  std::ranges::sort(memes, {}, [](const ScoredMeme& meme) {
    return std::tuple{-std::abs(static_cast<double>(meme.label) - meme.score), meme.id};
  });
  const auto wrong = std::ranges::count_if(
      memes, [&](const auto& meme) { return (meme.score >= gallery.threshold) != (meme.label == 1); });
  const bool heated = std::ranges::any_of(memes, has_map);
  auto html = fmt::format("<figure id=\"{}\">\n<figcaption><h3>{}</h3><p>{}", gallery.id, escape_html(gallery.title),
                          escape_html(gallery.caption));
  html += fmt::format(
      " {} of these {} are wrong at the threshold {}, which the tick on each scale marks; the worst mistakes "
      "come first.</p></figcaption>\n",
      wrong, memes.size(), short_number(gallery.threshold));
  if (heated)
    html += fmt::format(
        "<input type=\"checkbox\" class=\"heat-switch\" id=\"{0}-heat\" checked><label "
        "for=\"{0}-heat\">Show where in the picture the reasons lie</label>\n",
        gallery.id);
  html += "<ol class=\"memes\">\n";
  for (const auto& meme : memes) html += meme_card(meme, gallery.threshold);
  return html + "</ol>\n</figure>\n";
}

std::string disagreements_figure(const Disagreements& disagreements) {
  auto html = "<figure id=\"figure-disagreements\">\n" +
              figure_caption("Memes that models see differently", disagreements.caption) + "<ol class=\"memes\">\n";
  for (const auto& meme : disagreements.memes) {
    html +=
        fmt::format("<li class=\"meme\"><div class=\"shot\">{}</div><p class=\"words\">{}</p><dl class=\"opinions\">",
                    picture_element(encoded_picture(meme.picture), meme.picture, meme.id), words_of(meme.text));
    for (std::size_t i = 0; i < disagreements.models.size(); ++i) html += opinion(disagreements, i, meme);
    html += fmt::format("</dl><p class=\"verdict\">is {} <span>id {}</span></p></li>\n", class_name(meme.label == 1),
                        meme.id);
  }
  return html + "</ol>\n</figure>\n";
}

}  // namespace sslmeme::detail
