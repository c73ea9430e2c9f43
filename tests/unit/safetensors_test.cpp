#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/safetensors.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>

#include "files.hpp"
#include "state.hpp"

namespace fs = std::filesystem;
namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::test::bytes_of;
using sm::test::TemporaryFolder;

namespace {

const fs::path parity = fs::path{SSLMEME_TEST_DATA} / "parity";

/// What scripts/golden/backbones.py calls all_types().
sm::NamedTensors all_types() {
  const std::vector<std::pair<std::string, torch::ScalarType>> types{
      {"float64", torch::kDouble},    {"float32", torch::kFloat}, {"float16", torch::kHalf},
      {"bfloat16", torch::kBFloat16}, {"int64", torch::kLong},    {"int32", torch::kInt},
      {"int16", torch::kShort},       {"int8", torch::kChar},     {"uint8", torch::kByte},
      {"bool", torch::kBool}};
  sm::NamedTensors tensors;
  for (const auto& [name, type] : types) tensors.emplace_back(name, torch::tensor({{-1, 0}, {1, 2}}).to(type));
  tensors.emplace_back("scalar", torch::tensor(0.5F));
  tensors.emplace_back("empty", torch::zeros({0, 3}));
  return tensors;
}

void check_all_types(const sm::NamedTensors& read) {
  const auto expected = all_types();
  CHECK(read.size() == expected.size());
  for (const auto& [name, tensor] : expected) {
    INFO(name);
    const auto found =
        std::find_if(read.begin(), read.end(), [&, &wanted = name](const auto& pair) { return pair.first == wanted; });
    REQUIRE(found != read.end());
    CHECK(found->second.scalar_type() == tensor.scalar_type());
    CHECK(torch::equal(found->second, tensor));
  }
}

/// A file with this header and this many bytes of data.
void write_raw(const fs::path& path, const std::string& header, std::size_t data_bytes, std::int64_t claimed = -1) {
  const auto length = claimed >= 0 ? static_cast<std::uint64_t>(claimed) : header.size();
  std::ofstream file{path, std::ios::binary};
  for (int i = 0; i < 8; ++i) file.put(static_cast<char>(length >> (8 * i)));
  file << header << std::string(data_bytes, '\0');
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return '"' + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + '}';
}

}  // namespace

TEST_CASE("Every type, a scalar and an empty tensor survive a round trip") {
  const TemporaryFolder folder;
  const auto file = folder / "x.safetensors";
  sm::write_safetensors(file, all_types(), {{"a", "b"}});
  const auto read = sm::read_safetensors(file);
  check_all_types(read.tensors);
  CHECK(read.metadata == std::map<std::string, std::string>{{"a", "b"}});
}

TEST_CASE("Strided tensors and views are written as what they look like") {
  const TemporaryFolder folder;
  const auto file = folder / "x.safetensors";
  const auto base = torch::arange(24).view({4, 6});
  sm::write_safetensors(file,
                        {{"t", base.t()}, {"s", base.slice(1, 1, 6, 2)}, {"e", torch::ones({1, 2}).expand({3, 2})}});
  const auto read = sm::read_safetensors(file).tensors;
  REQUIRE(read.size() == 3);
  CHECK(torch::equal(read[0].second, base.t()));
  CHECK(torch::equal(read[1].second, base.slice(1, 1, 6, 2)));
  CHECK(torch::equal(read[2].second, torch::ones({3, 2})));
}

TEST_CASE("A file that Python's safetensors wrote is read") {
  const auto read = sm::read_safetensors(parity / "python.safetensors");
  check_all_types(read.tensors);
  CHECK(read.metadata.at("script") == "scripts/golden/backbones.py");
}

TEST_CASE("Writes the golden file anew", "[.golden]") {
  sm::write_safetensors(parity / "cpp.safetensors", all_types(), {{"made_by", "sslmeme"}, {"note", "ä \"quoted\""}});
}

TEST_CASE("What is written is, byte by byte, the file that Python's safetensors was seen to read") {
  const TemporaryFolder folder;
  const auto file = folder / "x.safetensors";
  sm::write_safetensors(file, all_types(), {{"made_by", "sslmeme"}, {"note", "ä \"quoted\""}});
  CHECK((bytes_of(file) == bytes_of(parity / "cpp.safetensors")));  // in parentheses: the bytes are not to be printed
}

TEST_CASE("Tensors may stand in the header in any order, empty ones anywhere") {
  const TemporaryFolder folder;
  const auto file = folder / "x.safetensors";
  write_raw(file,
            "{" + entry("b", "F32", "[2]", "[4,12]") + "," + entry("a", "I8", "[4]", "[0,4]") + "," +
                entry("none", "F32", "[0,7]", "[0,0]") + "," + entry("gap", "F32", "[0]", "[4,4]") + "}   ",
            12);
  CHECK(sm::read_safetensors(file).tensors.size() == 4);
}

TEST_CASE("A hostile file is refused, naming the file and the rule it breaks") {
  const TemporaryFolder folder;
  const auto file = folder / "x.safetensors";
  const auto refused = [&](const std::string& what) {
    const auto names = ContainsSubstring(file.string()), says = ContainsSubstring(what);
    CHECK_THROWS_MATCHES(sm::read_safetensors(file), sm::DataError, MessageMatches(names && says));
    CHECK_THROWS_MATCHES(sm::SafetensorsFile{file}, sm::DataError, MessageMatches(names && says));
  };
  const auto good = entry("a", "F32", "[2]", "[0,8]");
  const auto with = [&](const std::string& header, std::size_t data_bytes, const std::string& what) {
    write_raw(file, header, data_bytes);
    refused(what);
  };
  write_raw(file, "{" + good + "}", 8);
  REQUIRE(sm::read_safetensors(file).tensors.size() == 1);

  SECTION("too short for a header") {
    std::ofstream{file, std::ios::binary} << "1234567";
    refused("it holds 7 bytes");
  }
  SECTION("header longer than the file") {
    write_raw(file, "{" + good + "}", 8, 1000);
    refused("its header claims 1000 bytes");
  }
  SECTION("header beyond the cap") {
    write_raw(file, "{" + good + "}", 8, 100'000'001);
    fs::resize_file(file, 100'000'100);  // sparse: the header is inside the file
    refused("its header claims 100000001 bytes");
  }
  SECTION("header length of 2^64 - 1") {
    std::ofstream{file, std::ios::binary} << std::string(8, '\xff') << "{}";
    refused("its header claims 18446744073709551615 bytes");
  }
  SECTION("not beginning with {") {
    with(" {" + good + "}", 8, "does not begin with {");
    with("[1]", 0, "does not begin with {");
    with("", 0, "does not begin with {");
  }
  SECTION("no JSON") {
    with("{" + good, 8, "no JSON");
    with("{" + good + "} x", 8, "no JSON");
    with("{\"\xff\":1}", 0, "no JSON");
    with("{" + entry("\xc0\xaf", "F32", "[2]", "[0,8]") + "}", 8, "no JSON");  // UTF-8, but overlong
    with("{" + entry("\\ud800", "F32", "[2]", "[0,8]") + "}", 8, "no JSON");   // half a pair of surrogates
    with("{" + good + "}" + std::string(1, '\0'), 8, "holds a zero byte");
    with("\xef\xbb\xbf{" + good + "}", 8, "does not begin with {");
  }
  SECTION("nested without end") {
    with("{\"a\":" + std::string(100'000, '['), 0, "the entry of \"a\" is no JSON object");
    with("{\"a\":{\"shape\":" + std::string(100'000, '['), 0, "\"a\" has a bad shape");
    std::string objects = "{";
    for (int i = 0; i < 100'000; ++i) objects += "\"a\":{";
    with(objects, 0, "the entry of \"a\" has the key \"a\", which the format does not know");
  }
  SECTION("duplicate name") {
    with("{" + good + "," + good + "}", 8, "the name \"a\" occurs twice");
  }
  SECTION("duplicate key in an entry") {
    with(R"({"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}})", 8,
         "the key \"shape\" occurs twice in the entry of \"a\"");
    with(R"({"__metadata__":{"k":"1","k":"2"}})", 0, "the metadata \"k\" occurs twice");
  }
  SECTION("two metadata") {
    with(R"({"__metadata__":{},"__metadata__":{}})", 0, "the name \"__metadata__\" occurs twice");
  }
  SECTION("a key of an entry that is none") {
    with(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"scale":2}})", 8,
         "the entry of \"a\" has the key \"scale\"");
  }
  SECTION("more tensors than are allowed") {
    std::string header = "{";
    for (int i = 0; i <= 100'000; ++i) header += (i > 0 ? "," : "") + entry(std::to_string(i), "I8", "[0]", "[0,0]");
    with(header + "}", 0, "it claims more than 100000 tensors");
  }
  SECTION("more metadata than are allowed") {
    std::string header = R"({"__metadata__":{)";
    for (int i = 0; i <= 100'000; ++i) header += (i > 0 ? ",\"" : "\"") + std::to_string(i) + R"(":"")";
    with(header + "}}", 0, "it claims too many metadata");
  }
  SECTION("a file beyond the cap") {
    write_raw(file, "{" + good + "}", 8);
    constexpr std::uintmax_t cap = std::uintmax_t{1} << 40U;
    std::error_code error;
    fs::resize_file(file, cap + 1, error);  // sparse
    if (error) SKIP("no file of this size can be made here: " << error.message());
    refused("it holds 1099511627777 bytes; at most 1099511627776 are read");
  }
  SECTION("hole") {
    with("{" + good + "," + entry("b", "I8", "[1]", "[9,10]") + "}", 10, "\"b\" begins at 9, expected at 8");
  }
  SECTION("hole at the start") {
    with("{" + entry("a", "F32", "[2]", "[4,12]") + "}", 12, "\"a\" begins at 4, expected at 0");
  }
  SECTION("overlap") {
    with("{" + good + "," + entry("b", "I8", "[4]", "[4,8]") + "}", 8, "\"b\" begins at 4, expected at 8");
  }
  SECTION("shape overflow") {
    with("{" + entry("a", "F32", "[4294967296,4294967296]", "[0,8]") + "}", 8, "the shape of \"a\" overflows");
    with("{" + entry("a", "F32", "[4611686018427387904,4]", "[0,0]") + "}", 0, "the shape of \"a\" overflows");
    with("{" + entry("a", "F32", "[18446744073709551615]", "[0,8]") + "}", 8, "the shape of \"a\" overflows");
    with("{" + entry("a", "F32", "[0,4294967296,4294967296]", "[0,0]") + "}", 0, "the shape of \"a\" overflows");
    with("{" + entry("a", "F32", "[4294967296,4294967296,0]", "[0,0]") + "}", 0, "the shape of \"a\" overflows");
  }
  SECTION("bad shape") {
    with("{" + entry("a", "F32", "[-2]", "[0,8]") + "}", 8, "\"a\" has a bad shape");
    with("{" + entry("a", "F32", "[2.0]", "[0,8]") + "}", 8, "\"a\" has a bad shape");
    with("{" + entry("a", "F32", "2", "[0,8]") + "}", 8, "\"a\" has a bad shape");
    with("{" + entry("a", "F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]") + "}", 8, "\"a\" has a bad shape");
  }
  SECTION("size mismatch") {
    with("{" + entry("a", "F32", "[3]", "[0,8]") + "}", 8, "\"a\" takes 12 bytes, its offsets give [0, 8)");
    with("{" + entry("a", "F32", "[2]", "[8,0]") + "}", 8, "\"a\" takes 8 bytes, its offsets give [8, 0)");
  }
  SECTION("bad offsets") {
    with("{" + entry("a", "F32", "[2]", "[0]") + "}", 8, "\"a\" has bad offsets");
    with("{" + entry("a", "F32", "[2]", "[0,8,8]") + "}", 8, "\"a\" has bad offsets");
    with("{" + entry("a", "F32", "[2]", "[0,18446744073709551616]") + "}", 8, "\"a\" has bad offsets");
    with("{" + entry("a", "F32", "[2]", "[-8,0]") + "}", 8, "\"a\" has bad offsets");
    with("{" + entry("a", "F32", "[2]", "\"0,8\"") + "}", 8, "\"a\" has bad offsets");
  }
  SECTION("trailing bytes") {
    with("{" + good + "}", 9, "its tensors take 8 bytes, 9 are there");
  }
  SECTION("missing bytes") {
    with("{" + good + "}", 7, "its tensors take 8 bytes, 7 are there");
  }
  SECTION("unknown type") {
    with("{" + entry("a", "F4", "[16]", "[0,8]") + "}", 8, "\"a\" has the type F4, which is not supported");
    with("{" + entry("a", "C64", "[1]", "[0,8]") + "}", 8, "\"a\" has the type C64, which is not supported");
    with("{" + entry("a", "f32", "[2]", "[0,8]") + "}", 8, "\"a\" has the type f32, which is not supported");
  }
  SECTION("incomplete entry") {
    with(R"({"a":{"shape":[2],"data_offsets":[0,8]}})", 8, "the entry of \"a\" lacks \"dtype\"");
    with(R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", 8, "the entry of \"a\" lacks \"shape\"");
    with(R"({"a":{"dtype":"F32","shape":[2]}})", 8, "the entry of \"a\" lacks \"data_offsets\"");
    with(R"({"a":{"dtype":32,"shape":[2],"data_offsets":[0,8]}})", 8, "the dtype of \"a\" is no string");
    with(R"({"a":7})", 0, "the entry of \"a\" is no JSON object");
  }
  SECTION("bad name") {
    with("{" + entry("", "F32", "[2]", "[0,8]") + "}", 8, "a tensor's name has 0 bytes");
    with("{" + entry(std::string(1025, 'n'), "F32", "[2]", "[0,8]") + "}", 8, "a tensor's name has 1025 bytes");
  }
  SECTION("bad metadata") {
    with(R"({"__metadata__":{"a":1}})", 0, "metadata \"a\" is no string");
    with(R"({"__metadata__":{"a":{}}})", 0, "metadata \"a\" is no string");
    with(R"({"__metadata__":"words"})", 0, "its metadata is no JSON object");
    with(R"({"__metadata__":null})", 0, "its metadata is no JSON object");
  }
}

TEST_CASE("A file that is not there or no file is the system's refusal") {
  CHECK_THROWS_MATCHES(sm::read_safetensors("/nonexistent/x.safetensors"), sm::IoError,
                       MessageMatches(ContainsSubstring("/nonexistent/x.safetensors")));
  const TemporaryFolder folder;
  CHECK_THROWS_MATCHES(sm::read_safetensors(folder.path), sm::IoError,
                       MessageMatches(ContainsSubstring("it is a folder")));
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_MATCHES(sm::SafetensorsFile{folder / "pipe"}, sm::IoError,
                       MessageMatches(ContainsSubstring("it is no file")));
}

TEST_CASE("A truth that is neither 0 nor 1 is damage") {
  const sm::test::TemporaryFolder folder;
  sm::write_safetensors(folder / "x", {{"sure", torch::ones({3}, torch::kBool)}});
  auto bytes = bytes_of(folder / "x");
  bytes.back() = 2;
  folder.write("x", bytes);
  CHECK_THROWS_MATCHES(sm::read_safetensors(folder / "x"), sm::DataError,
                       MessageMatches(ContainsSubstring("BOOL that is neither 0 nor 1")));
  CHECK_THROWS_AS(sm::SafetensorsFile{folder / "x"}.tensor("sure"), sm::DataError);
}

TEST_CASE("Names of a hostile file are shown without what controls a terminal, and not all of them") {
  const sm::test::TemporaryFolder folder;
  sm::NamedTensors many{{"\x1b[31mred", torch::ones({1})}};
  for (int i = 0; i < 1000; ++i) many.emplace_back("tensor of many " + std::to_string(i), torch::ones({1}));
  sm::write_safetensors(folder / "x", many);
  try {
    sm::SafetensorsFile{folder / "x"}.tensor("zzzzzzzz");
    FAIL("found");
  } catch (const sm::InvalidArgument& error) {
    const std::string message = error.what();
    CHECK(message.find('\x1b') == std::string::npos);
    CHECK(message.size() < 1000);
  }
}

TEST_CASE("A mapped file gives what reading gives") {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  sm::write_safetensors(path, all_types(), {{"a", "b"}});
  const sm::SafetensorsFile file{path};
  check_all_types(file.tensors());
  CHECK(file.metadata() == std::map<std::string, std::string>{{"a", "b"}});
  CHECK(file.contains("int8"));
  CHECK_FALSE(file.contains("int4"));
  CHECK(file.entries().size() == 12);
  CHECK(file.entries()[1].name == "float32");
  CHECK(file.entries()[1].type == torch::kFloat);
  CHECK(file.entries()[1].shape == std::vector<std::int64_t>{2, 2});
  CHECK_THROWS_MATCHES(file.tensor("float23"), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("no tensor of the file is called \"float23\"; did you mean: "
                                                        "float16, float32, float64")));
}

TEST_CASE("Tensors of a mapped file share its memory, outlive it and never write to it") {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  sm::write_safetensors(path, {{"a", torch::arange(6, torch::kFloat)}, {"b", torch::ones({2})}});
  const auto before = bytes_of(path);
  sm::Tensor a, again;
  {
    const sm::SafetensorsFile file{path};
    a = file.tensor("a");
    again = file.tensor("a");
  }
  CHECK(a.data_ptr() == again.data_ptr());
  a.mul_(2);
  CHECK(torch::equal(again, torch::arange(6, torch::kFloat) * 2));
  CHECK((bytes_of(path) == before));
  sm::write_safetensors(path, {{"a", torch::zeros({6})}});  // renamed into place: the mapping keeps the old file
  CHECK(torch::equal(again, torch::arange(6, torch::kFloat) * 2));
}

TEST_CASE("A tensor that the file does not align is copied") {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  const auto padding = static_cast<std::size_t>(GENERATE(0, 1, 2, 3, 4, 5, 6, 7));
  const auto header = "{" + entry("a", "I8", "[3]", "[0,3]") + "," + entry("b", "F64", "[2]", "[3,19]") + "}";
  write_raw(path, header + std::string(padding, ' '), 0);
  const std::array<double, 2> values{0.5, -3};
  std::string data(19, '\1');
  std::memcpy(data.data() + 3, values.data(), sizeof values);
  std::ofstream{path, std::ios::binary | std::ios::app} << data;
  const sm::SafetensorsFile file{path};
  CHECK(torch::equal(file.tensor("b"), torch::tensor({0.5, -3.0}, torch::kDouble)));
  CHECK(torch::equal(file.tensor("a"), torch::ones({3}, torch::kChar)));
  CHECK(reinterpret_cast<std::uintptr_t>(file.tensor("b").data_ptr()) % 8 == 0);
  CHECK(torch::equal(sm::read_safetensors(path).tensors[1].second, file.tensor("b")));
}

TEST_CASE("What is written is aligned, and keeps the order it was given in") {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  sm::write_safetensors(path, {{"a", torch::ones({3}, torch::kChar)},
                               {"b", torch::ones({3}, torch::kFloat)},
                               {"c", torch::ones({1}, torch::kLong)},
                               {"d", torch::ones({1}, torch::kHalf)}});
  const sm::SafetensorsFile file{path};
  std::string order;
  for (const auto& entry : file.entries()) {
    order += entry.name;
    CHECK(entry.begin % torch::elementSize(entry.type) == 0);
    CHECK(torch::equal(file.tensor(entry.name), torch::ones_like(file.tensor(entry.name))));
  }
  CHECK(order == "abcd");
}

TEST_CASE("What the format cannot hold is not written, and a former file stays") {
  const TemporaryFolder folder;
  const auto file = folder / "x.safetensors";
  sm::write_safetensors(file, {{"a", torch::ones({2})}});
  const auto before = bytes_of(file);
  const auto refused = [&](const sm::NamedTensors& tensors, const std::string& what) {
    CHECK_THROWS_MATCHES(sm::write_safetensors(file, tensors), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring(what)));
    CHECK((bytes_of(file) == before));
  };
  refused({{"z", torch::zeros({2}, torch::kComplexFloat)}}, "\"z\" is ComplexFloat, which safetensors cannot hold");
  refused({{"u", {}}}, "\"u\" is undefined, which safetensors cannot hold");
  refused({{"s", torch::eye(2).to_sparse()}}, "\"s\" has no dense values");
  refused({{"m", torch::empty({2}, torch::device(torch::kMeta))}}, "\"m\" has no dense values");
  refused({{"a", torch::ones({1})}, {"a", torch::ones({1})}}, "two tensors are called \"a\"");
  refused({{"", torch::ones({1})}}, "must not be called \"\"");
  refused({{"__metadata__", torch::ones({1})}}, "must not be called \"__metadata__\"");
  refused({{std::string(1025, 'n'), torch::ones({1})}}, "has 1025 bytes; at most 1024 are read back");
  refused({{"a\xff\n", torch::ones({1})}}, "the tensor's name \"a\\xFF\\n\" is not UTF-8");
  refused({{"r", torch::ones({1, 1, 1, 1, 1, 1, 1, 1, 1})}}, "\"r\" has 9 dimensions; at most 8 are read back");
  refused(sm::NamedTensors(100'001, {"a", torch::ones({1})}), "100001 tensors");
  for (const auto& metadata : {std::map<std::string, std::string>{{"k", "\xff"}}, {{"\xff", "v"}}}) {
    CHECK_THROWS_MATCHES(sm::write_safetensors(file, {}, metadata), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring("the metadata \"\\xFF\" is not UTF-8")));
  }
  CHECK((bytes_of(file) == before));
}

TEST_CASE("Names at the limits come back") {
  const TemporaryFolder folder;
  const auto file = folder / "x.safetensors";
  const sm::NamedTensors tensors{{std::string(1024, 'n'), torch::ones({1, 1, 1, 1, 1, 1, 1, 2})},
                                 {"\"ä\\\n\u2028", torch::ones({1})}};
  sm::write_safetensors(file, tensors, {{"", ""}, {"ä\t", "\x01"}});
  const auto read = sm::read_safetensors(file);
  CHECK(sm::test::same_state(read.tensors, tensors));
  CHECK(read.metadata == std::map<std::string, std::string>{{"", ""}, {"ä\t", "\x01"}});
}
