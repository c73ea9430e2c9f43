#include "data/manifest.hpp"

#include <sslmeme/core/error.hpp>

#include "core/rethrow.hpp"
#include "data/csv.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace sslmeme {

namespace fs = std::filesystem;

namespace detail {

using Kind = Cell::Kind;

namespace {

/// Whether a path from a manifest is one within a folder, before it is looked for.
bool is_inner(const std::string& given) {
  const fs::path path{given};
  return !given.empty() && !path.is_absolute() && given.find('\0') == std::string::npos &&
         std::ranges::find(path, fs::path{".."}) == path.end();
}

/// "benign", "hateful" and what else a label may be.
std::string known_labels(const std::map<std::string, std::int64_t>& labels) {
  std::vector<std::string> names;
  names.reserve(labels.size());
  for (const auto& [name, value] : labels) names.push_back(in_quotes(name));
  return listed(names);
}

/// The position of each wanted column in a header; the header's length where there is none.
struct Header {
  std::size_t id = 0, picture = 0, text = 0, label = 0;
};

Header find_columns(const std::vector<std::string>& header, const ManifestColumns& columns) {
  const auto find = [&](const std::string& name) {
    if (name.empty()) return header.size();
    const auto first = std::ranges::find(header, name);
    if (first == header.end()) {
      throw DataError(fmt::format("no column {}; there: {}: set .columns and .format as the file has them",
                                  in_quotes(name), listed(header)));
    }
    if (std::find(first + 1, header.end(), name) != header.end())
      throw DataError(fmt::format("the column {} stands twice: rename one", in_quotes(name)));
    return static_cast<std::size_t>(first - header.begin());
  };
  return {find(columns.id), find(columns.picture), find(columns.text), find(columns.label)};
}

Cell cell_at(const std::vector<std::string>& fields, std::size_t column) {
  return column < fields.size() ? Cell{.kind = Kind::string, .text = fields[column]} : Cell{};
}

}  // namespace

std::string inner_path(const std::string& folder, const std::string& name) {
  return folder.empty() || folder == "." ? name : folder.ends_with('/') ? folder + name : folder + "/" + name;
}

ManifestBuilder::ManifestBuilder(Folder folder, fs::path file, ManifestOptions options, RowRules rules)
    : state_{.folder = std::move(folder), .file = std::move(file), .limits = options.limits},
      options_{std::move(options)},
      rules_{rules} {
  if (options_.columns.picture.empty())
    throw InvalidArgument(R"(Manifest: .columns.picture is "": name the column that holds the pictures' files)");
  if (!options_.picture_folder.empty() && !is_inner(options_.picture_folder)) {
    throw InvalidArgument(fmt::format("Manifest: .picture_folder is {}: give a folder within the root, like \"images\"",
                                      in_quotes(options_.picture_folder)));
  }
  for (const auto& [text, label] : options_.labels) {
    if (label < 0)
      throw InvalidArgument(fmt::format("Manifest: .labels has {} for {}: count from 0", label, in_quotes(text)));
  }
  if (options_.max_file_bytes < 0 || options_.max_records < 0) {
    throw InvalidArgument(fmt::format("Manifest: .max_file_bytes is {} and .max_records is {}: give at least 0",
                                      options_.max_file_bytes, options_.max_records));
  }
}

std::string ManifestBuilder::wrong(const std::string& column, std::string_view must, const Cell& cell) const {
  if (cell.kind == Kind::absent) return fmt::format("the key {} is missing", in_quotes(column));
  const auto is =
      cell.kind == Kind::string && rules_ != RowRules::hateful_memes ? in_quotes(cell.text) : cell.described();
  return fmt::format("{} must be {}, but is {}", in_quotes(column), must, is);
}

ManifestBuilder::FirstUse ManifestBuilder::id_of(const Cell& cell, std::int64_t line, std::int64_t& id) const {
  const auto& column = options_.columns.id;
  if (column.empty()) {
    id = static_cast<std::int64_t>(state_.records.size());
    return {line, 0};
  }
  std::string_view text = cell.text;
  if (rules_ == RowRules::file_names) {
    text = text.substr(text.rfind('/') + 1);
    text = text.substr(0, text.rfind('.'));
  }
  const auto number =
      cell.kind == Kind::whole || cell.kind == Kind::string ? whole_number(text) : std::optional<std::int64_t>{};
  const bool strict = rules_ == RowRules::hateful_memes;
  if (number && (!strict || (cell.kind == Kind::whole && *number >= 0))) {
    id = *number;
    return {line, 0};
  }
  if (strict) throw DataError(wrong(column, "a whole number from 0", cell));
  if (cell.kind != Kind::string || text.empty())
    throw DataError(wrong(column, "a whole number below 2⁶³ or a text that is not empty", cell));
  id = stable_id(text);
  return {line, static_cast<std::uint64_t>(stable_id(std::string{text} + "?")) + 1};
}

std::optional<std::int64_t> ManifestBuilder::label_of(const Cell& cell) const {
  const auto& column = options_.columns.label;
  if (column.empty() || cell.kind == Kind::absent || cell.kind == Kind::null) return {};
  if (rules_ == RowRules::hateful_memes) {
    if (cell.kind == Kind::whole && !cell.is_element && (cell.text == "0" || cell.text == "1"))
      return cell.text == "1" ? 1 : 0;
    throw DataError(wrong(column, "0 or 1, or be left out", cell));
  }
  if (cell.kind == Kind::string && cell.text.empty()) return {};
  if (!options_.labels.empty()) {
    if (cell.is_scalar()) {
      const auto found = options_.labels.find(cell.text);
      if (found != options_.labels.end()) return found->second;
    }
    throw DataError(wrong(column, "one of .labels: " + known_labels(options_.labels), cell));
  }
  const auto number = cell.is_scalar() ? whole_number(cell.text) : std::optional<std::int64_t>{};
  if (!number || *number < 0)
    throw DataError(wrong(column, "a whole number from 0 or empty, else say in .labels what it means", cell));
  return number;
}

std::string ManifestBuilder::picture_of(const Cell& cell) const {
  if (cell.kind != Kind::string) throw DataError(wrong(options_.columns.picture, "a string", cell));
  const auto& given = cell.text;
  if (!is_inner(given)) {
    throw DataError(
        fmt::format("the picture {} must be a path within the folder, like img/42953.png", in_quotes(given)));
  }
  const auto as_given = inner_path(options_.picture_folder, given);
  std::vector<std::string> candidates{as_given};
  if (rules_ == RowRules::hateful_memes) {
    const fs::path path{given};
    const auto folder = path.parent_path();
    if (folder.empty() || folder == "img")
      candidates.push_back(folder.empty() ? "img/" + given : path.filename().string());
  }
  if (!options_.check_pictures && candidates.size() == 1) return as_given;
  int why = ENOENT;
  for (auto& candidate : candidates) {
    if (state_.folder.has_file(candidate)) return std::move(candidate);
    if (errno != ENOENT) why = errno;
  }
  if (!options_.check_pictures) return as_given;
  throw PictureError(
      PictureFault::missing,
      fmt::format("the picture {} is missing or a link out of the folder ({}); looked for {} in {}", shown(given),
                  why_not_opened(why), shown(fmt::format("{}", fmt::join(candidates, " and ")), 200),
                  shown_path(state_.folder.root())));
}

void ManifestBuilder::add(Row row, std::int64_t line) {
  if (++rows_ > options_.max_records)
    throw DataError(fmt::format("more than {} rows: divide the file or raise .max_records", options_.max_records));
  const auto& columns = options_.columns;
  const bool has_text = !columns.text.empty();
  // In the order of the columns, so that the first thing wrong in a row is the one that is named.
  if (!columns.id.empty() && row.id.kind == Kind::absent) throw DataError(wrong(columns.id, "", row.id));
  if (row.picture.kind == Kind::absent) throw DataError(wrong(columns.picture, "", row.picture));
  if (has_text && row.text.kind != Kind::string) throw DataError(wrong(columns.text, "a string", row.text));
  MemeRecord record;
  const auto use = id_of(row.id, line, record.id);
  record.label = label_of(row.label);
  if (!columns.id.empty()) {
    const auto [first, is_new] = ids_.try_emplace(record.id, use);
    if (!is_new && first->second.check != use.check) {
      throw DataError(fmt::format("the ids {} and that of line {} are the same number, {}, after hashing: rename one",
                                  in_quotes(row.id.text), first->second.line, record.id));
    }
    if (!is_new && options_.duplicates == DuplicateIds::refuse) {
      throw DataError(
          fmt::format("the id {} stands in line {} too: ids must differ", shown(row.id.text), first->second.line));
    }
    if (!is_new) {
      state_.duplicates.push_back({record.id, line, first->second.line});
      return;
    }
  }
  record.picture = picture_of(row.picture);
  record.text = std::move(row.text.text);
  if (has_text && row.text_was_repaired) ++state_.repaired_texts;
  state_.records.push_back(std::move(record));
}

std::shared_ptr<const ManifestState> ManifestBuilder::finish() && {
  state_.records.shrink_to_fit();
  return std::make_shared<const ManifestState>(std::move(state_));
}

ByteReader open_manifest(const Folder& folder, const std::string& file, std::int64_t max_bytes) {
  auto opened = folder.open(file);
  if (!opened.valid())
    throw IoError(fmt::format("cannot open {}: {}", shown_path(folder.path_of(file)), why_not_opened(errno)));
  return {std::move(opened), folder.path_of(file), max_bytes};
}

void with_place(const std::string& file, const std::function<std::int64_t()>& line, const std::function<void()>& body) {
  try {
    body();
  } catch (const DataError&) {
    rethrow_named([&](std::string_view what) { return fmt::format("{}:{}: {}", shown_path(file), line(), what); });
  }
}

void for_each_line(ByteReader& reader, const std::function<void(std::string_view, std::int64_t)>& take) {
  std::string line;
  std::int64_t number = 0;
  with_place(
      reader.path(), [&] { return number; },
      [&] {
        for (number = 1; reader.line(line, max_row_bytes); ++number) {
          if (line.find_first_not_of(" \t\r") != std::string::npos) take(line, number);
        }
      });
}

void add_json_lines(ByteReader& reader, ManifestBuilder& builder) {
  for_each_line(reader, [&](std::string_view line, std::int64_t number) {
    builder.add(parse_meme_line(line, builder.options().columns), number);
  });
}

void add_csv_rows(ByteReader& reader, char separator, ManifestBuilder& builder,
                  const std::function<void(Row&)>& complete) {
  CsvReader rows{reader, separator};
  with_place(
      reader.path(), [&] { return rows.line(); },
      [&] {
        std::vector<std::string> header, fields;
        if (!rows.next(header)) throw DataError("empty: the first row must name the columns");
        auto columns = builder.options().columns;
        if (complete) columns.label.clear();
        const auto at = find_columns(header, columns);
        while (rows.next(fields)) {
          if (fields.size() != header.size()) {
            throw DataError(fmt::format(
                "{} fields, but the header has {}: put fields that hold separators or line ends into quotes",
                fields.size(), header.size()));
          }
          Row row{cell_at(fields, at.id), cell_at(fields, at.picture), cell_at(fields, at.text),
                  cell_at(fields, at.label)};
          for (auto* cell : {&row.id, &row.picture, &row.text, &row.label}) {
            auto repaired = repaired_utf8(cell->text);
            if (cell == &row.text) row.text_was_repaired = repaired != cell->text;
            cell->text = std::move(repaired);
          }
          if (complete) complete(row);
          builder.add(std::move(row), rows.line());
        }
      });
}

}  // namespace detail

namespace {

ManifestFormat format_of(const std::string& file, ManifestFormat format) {
  if (format != ManifestFormat::by_extension) return format;
  const auto extension = fs::path{file}.extension();
  if (extension == ".jsonl" || extension == ".ndjson") return ManifestFormat::jsonl;
  if (extension == ".csv") return ManifestFormat::csv;
  if (extension == ".tsv" || extension == ".tab") return ManifestFormat::tsv;
  throw InvalidArgument(fmt::format("Manifest: {} ends in none of .jsonl, .ndjson, .csv, .tsv and .tab: set .format",
                                    detail::in_quotes(file)));
}

std::shared_ptr<const detail::ManifestState> read_manifest(const fs::path& root, const std::string& file,
                                                           const ManifestOptions& options) {
  const auto format = format_of(file, options.format);
  detail::ManifestBuilder builder{detail::Folder{root}, root / file, options, detail::RowRules::general};
  auto reader = detail::open_manifest(builder.folder(), file, options.max_file_bytes);
  if (format == ManifestFormat::jsonl)
    detail::add_json_lines(reader, builder);
  else
    detail::add_csv_rows(reader, format == ManifestFormat::csv ? ',' : '\t', builder);
  return std::move(builder).finish();
}

}  // namespace

Manifest::Manifest(const fs::path& root, const std::string& file, const ManifestOptions& options)
    : state_{read_manifest(root, file, options)} {}

Manifest::Manifest(std::shared_ptr<const detail::ManifestState> state) : state_{std::move(state)} {}

Sample Manifest::get(std::size_t i) const {
  const auto& record = records()[i];
  return {detail::read_picture(state_->folder, record.picture, state_->limits), record.text, record.label, record.id};
}

std::string Manifest::source(std::size_t i) const {
  return state_->folder.path_of(records()[i].picture);
}
std::vector<std::byte> Manifest::bytes(std::size_t i) const {
  return detail::read_picture_bytes(state_->folder, records()[i].picture, state_->limits);
}
std::span<const MemeRecord> Manifest::records() const {
  return state_->records;
}
std::span<const DuplicateId> Manifest::duplicates() const {
  return state_->duplicates;
}
const fs::path& Manifest::file() const {
  return state_->file;
}
std::size_t Manifest::repaired_texts() const {
  return state_->repaired_texts;
}

}  // namespace sslmeme
