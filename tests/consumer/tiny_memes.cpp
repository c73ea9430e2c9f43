// tiny_memes DIR COUNT SIZE: writes a split "train" in the Hateful Memes layout, of plain pictures with every label and
// word there is.
#include <sslmeme/data/image_io.hpp>

#include <filesystem>
#include <fstream>
#include <string>

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::filesystem::path root{argv[1]};
  const int count = std::stoi(argv[2]), size = std::stoi(argv[3]);
  std::filesystem::create_directories(root / "img");
  std::ofstream lines{root / "train.jsonl"};
  for (int id = 0; id < count; ++id) {
    sslmeme::Image picture{size, size};
    for (std::size_t i = 0; i < picture.pixels.size(); ++i) {
      picture.pixels[i] = static_cast<std::uint8_t>(i * static_cast<std::size_t>(id + 1) % 251);
    }
    const auto name = "img/" + std::to_string(id) + ".png";
    sslmeme::write_png(root / name, picture);
    lines << R"({"id": )" << id << R"(, "img": ")" << name << R"(", "label": )" << id % 2
          << R"(, "text": "meme number )" << id << "\"}\n";
  }
  return lines.flush() ? 0 : 1;
}
