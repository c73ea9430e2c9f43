# Finds what sslmeme is built on. Sets up sslmeme_dependencies: what is private to our own sources.

# Imported targets must be seen by a project that adds this one as a subdirectory.
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)

# LibTorch: Torch_DIR or CMAKE_PREFIX_PATH, else the active Python environment, else what scripts/setup installed.
if(NOT Torch_DIR)
  file(GLOB torch_hints LIST_DIRECTORIES true
    "$ENV{VIRTUAL_ENV}/lib/python*/site-packages/torch" "$ENV{CONDA_PREFIX}/lib/python*/site-packages/torch"
    "${PROJECT_SOURCE_DIR}/build/libtorch/lib/python*/site-packages/torch")
endif()
find_package(Torch 2.11 QUIET HINTS ${torch_hints})
if(NOT Torch_FOUND)
  message(FATAL_ERROR "LibTorch 2.11 or newer not found: run scripts/setup, or give -DCMAKE_PREFIX_PATH=/path/to/libtorch")
endif()
message(STATUS "LibTorch ${Torch_VERSION}: ${Torch_DIR}")

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(ZLIB REQUIRED)
find_path(SSLMEME_STB_INCLUDE_DIR stb/stb_image.h REQUIRED)
find_package(utf8proc REQUIRED)

# One fmt, chosen here, of which only headers are used: src/core/fmt.cpp compiles what in them is no template. LibTorch's wheel
# carries fmt among its own headers, first on the include path: then that one is it, and linking the system's libfmt would mix
# two. Otherwise it is the system's. tests/unit/build_test says which won.
add_library(sslmeme_fmt INTERFACE)
find_file(SSLMEME_TORCH_FMT fmt/format.h PATHS ${TORCH_INCLUDE_DIRS} NO_DEFAULT_PATH)
if(SSLMEME_TORCH_FMT)
  set(SSLMEME_FMT_SOURCE "LibTorch's own headers")
else()
  find_package(fmt REQUIRED)
  set(SSLMEME_FMT_SOURCE "fmt ${fmt_VERSION}")
  get_target_property(fmt_include fmt::fmt-header-only INTERFACE_INCLUDE_DIRECTORIES)
  target_include_directories(sslmeme_fmt SYSTEM INTERFACE ${fmt_include})
endif()

add_library(sslmeme_dependencies INTERFACE)
target_include_directories(sslmeme_dependencies SYSTEM INTERFACE ${SSLMEME_STB_INCLUDE_DIR})
target_link_libraries(sslmeme_dependencies INTERFACE sslmeme_fmt Eigen3::Eigen nlohmann_json::nlohmann_json
  JPEG::JPEG PNG::PNG ZLIB::ZLIB Threads::Threads utf8proc::utf8proc)

# Optional: what they serve is left out where they are missing.
find_package(hwy 1.0 QUIET)
find_package(WebP QUIET)
find_package(libdeflate QUIET)
find_package(Tesseract QUIET MODULE)
find_file(SSLMEME_GLOO torch/csrc/distributed/c10d/ProcessGroupGloo.hpp PATHS ${TORCH_INCLUDE_DIRS} NO_DEFAULT_PATH)
find_file(SSLMEME_GLOO_OWN_HEADERS gloo/algorithm.h PATHS ${TORCH_INCLUDE_DIRS} NO_DEFAULT_PATH)
find_package(Freetype QUIET)
find_file(SSLMEME_EMOJI_FONT NotoColorEmoji.ttf PATHS /usr/share/fonts/truetype/noto /usr/share/fonts NO_DEFAULT_PATH)
find_file(SSLMEME_EMOJI_NAMES emoji-test.txt PATHS /usr/share/unicode/emoji NO_DEFAULT_PATH)
find_package(CLI11 2 QUIET)
find_package(Catch2 3 QUIET)

function(sslmeme_print_summary)
  message(STATUS "sslmeme ${PROJECT_VERSION}, ${CMAKE_BUILD_TYPE}:")
  foreach(row IN ITEMS "ccache|SSLMEME_CCACHE|faster rebuilds|ccache" "Highway|hwy_FOUND|fast contrastive losses|libhwy-dev"
      "libwebp|WebP_FOUND|WebP pictures|libwebp-dev" "libdeflate|libdeflate_FOUND|fast PNG|libdeflate-dev"
      "Tesseract|Tesseract_FOUND|words read off pictures|libtesseract-dev and tesseract-ocr-eng"
      "Gloo|SSLMEME_GLOO|several ranks|a LibTorch built with it"
      "CLI11|CLI11_FOUND|example programs|libcli11-dev" "Catch2 3|Catch2_FOUND|tests|catch2"
      "FreeType|Freetype_FOUND|made memes|libfreetype-dev" "emoji font|SSLMEME_EMOJI_FONT|made memes|fonts-noto-color-emoji"
      "emoji names|SSLMEME_EMOJI_NAMES|made memes|unicode-data")
    string(REPLACE "|" ";" row "${row}")
    list(GET row 0 name)
    list(GET row 1 variable)
    list(GET row 2 serves)
    list(GET row 3 package)
    if(${variable})
      message(STATUS "  ${name}: found (${serves})")
    else()
      message(STATUS "  ${name}: MISSING, so no ${serves}; install ${package}")
    endif()
  endforeach()
  message(STATUS "  fmt: ${SSLMEME_FMT_SOURCE}; sanitizers: ${SSLMEME_SANITIZE}")
endfunction()
