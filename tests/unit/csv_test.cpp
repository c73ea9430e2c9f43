// Comma-separated values: the rows of RFC 4180, what goes beyond it, and what is refused.
#include "data/csv.hpp"

#include <sslmeme/core/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>
#include <vector>

#include "files.hpp"

namespace sslmeme::detail {
namespace {

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Rows = std::vector<std::vector<std::string>>;
using namespace std::string_literals;

struct Read {
  Rows rows;
  std::vector<std::int64_t> lines;
};

Read read(const std::string& content, char separator = ',') {
  const test::TemporaryFolder folder;
  ByteReader reader{open_file(folder.write("rows", content)), "rows", 1 << 28};
  CsvReader csv{reader, separator};
  Read result;
  for (std::vector<std::string> fields; csv.next(fields);) {
    result.rows.push_back(fields);
    result.lines.push_back(csv.line());
  }
  return result;
}

TEST_CASE("rows are split as RFC 4180 has it") {
  struct Case {
    std::string content;
    Rows rows;
  };
  const auto [content, rows] = GENERATE(values<Case>({
      {"", {}},
      {"\n\r\n\r", {}},
      {"a", {{"a"}}},
      {"a,b\n", {{"a", "b"}}},
      {"a,b\r\nc,d\r\n", {{"a", "b"}, {"c", "d"}}},
      {"a,b\rc,d", {{"a", "b"}, {"c", "d"}}},
      {",\n,,", {{"", ""}, {"", "", ""}}},
      {"a,b,c\nd\n\ne,f,\n", {{"a", "b", "c"}, {"d"}, {"e", "f", ""}}},
      {R"("a","b")", {{"a", "b"}}},
      {"\"\",\"\"\n\"\"", {{"", ""}, {""}}},
      {R"("a,b",c)", {{"a,b", "c"}}},
      {R"("say ""hi""",c)", {{"say \"hi\"", "c"}}},
      {"\"one\ntwo\",c\n\"x\r\ny\",\"z\rw\"\n", {{"one\ntwo", "c"}, {"x\r\ny", "z\rw"}}},
      {"5\" screen,it's \"so\" good\n", {{"5\" screen", "it's \"so\" good"}}},
      {" \"a\" ,b", {{" \"a\" ", "b"}}},
      {"\xEF\xBB\xBFid,text\n", {{"id", "text"}}},
      {"\xEF\xBB\xBF\"id\",text\n", {{"id", "text"}}},
      {"é,\xF0\x9F\x90\x88\n", {{"é", "\xF0\x9F\x90\x88"}}},
  }));
  CAPTURE(content);
  CHECK(read(content).rows == rows);
}

TEST_CASE("tabs separate where they are asked to") {
  CHECK(read("a,b\tc\n\"d\te\"\tf\n", '\t').rows == Rows{{"a,b", "c"}, {"d\te", "f"}});
}

TEST_CASE("a row is named by the line in which it begins") {
  CHECK(read("a\n\n\"b\nc\r\nd\re\"\r\nf\rg\n").lines == std::vector<std::int64_t>{1, 3, 7, 8});
}

TEST_CASE("what is no CSV is refused in one line, and soon") {
  struct Case {
    std::string content, message;
  };
  const auto [content, message] = GENERATE(values<Case>({
      {"a\n\"b", "the quote that opens in line 2 is not closed"},
      {"\"a\nb\n", "the quote that opens in line 1 is not closed"},
      {"\"a\"b,c\n", "behind the closing quote of \"a\" in line 1"},
      {"a\0b"s, "NUL byte"},
      {"\"a\0\""s, "NUL byte"},
      {"\xEF\xBB", "byte-order mark"},
      {"\xFF\xFE"
       "a\0"s,
       "NUL byte"},
      {std::string(1025, ','), "more than 1024 fields"},
      {std::string((1 << 20) + 1, 'x'), "a row of more than 1048576 bytes"},
      {"\"" + std::string(1 << 20, '\n'), "a row of more than 1048576 bytes"},
  }));
  CHECK_THROWS_MATCHES(read(content), DataError, MessageMatches(ContainsSubstring(message)));
}

TEST_CASE("a broken byte-order mark is an error of the first row, not of the reader's making") {
  const test::TemporaryFolder folder;
  ByteReader reader{open_file(folder.write("rows", "\xEF\xBBid,img")), "rows", 100};
  CsvReader csv{reader, ','};
  std::vector<std::string> fields;
  CHECK_THROWS_MATCHES(csv.next(fields), DataError, MessageMatches(ContainsSubstring("broken byte-order mark")));
  CHECK(csv.line() == 1);
}

TEST_CASE("a field may be as long as a row and a row as wide as the cap") {
  CHECK(read(std::string(1 << 20, 'x')).rows.front().front().size() == 1 << 20);
  CHECK(read(std::string(1023, ',')).rows.front().size() == 1024);
}

}  // namespace
}  // namespace sslmeme::detail
