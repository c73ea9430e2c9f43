# How our own targets are built: warnings, sanitizers, ccache, one shared precompiled header. Nothing here reaches users.

if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
  endif()
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  find_program(SSLMEME_CCACHE ccache)
  if(SSLMEME_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    # Precompiled headers need these two liberties (ccache manual, "Precompiled headers").
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${SSLMEME_CCACHE})
  endif()
endif()

set(SSLMEME_PCH_FLAG "")
if(SSLMEME_CCACHE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(SSLMEME_PCH_FLAG -fpch-preprocess)  # ccache asks g++ for it
endif()

# Flags of our own targets. -fPIC everywhere lets library, programs and tests share one precompiled header.
add_library(sslmeme_own INTERFACE)
target_compile_options(sslmeme_own INTERFACE -fPIC -Wall -Wextra -Wpedantic -Wshadow
  $<$<BOOL:${SSLMEME_WERROR}>:-Werror> ${SSLMEME_PCH_FLAG})
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
  # g++ 13 believes that torch::autograd::Function::apply() copies bytes beyond a vector of one.
  target_compile_options(sslmeme_own INTERFACE -Wno-array-bounds)
endif()
if(SSLMEME_SANITIZE)
  # g++ 12 sees uninitialised optionals in LibTorch's headers once the address sanitizer changes its inlining.
  target_compile_options(sslmeme_own INTERFACE -fsanitize=${SSLMEME_SANITIZE} -fno-omit-frame-pointer
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(sslmeme_own INTERFACE -fsanitize=${SSLMEME_SANITIZE})
endif()

# lld links a test against LibTorch in a fraction of a second.
include(CheckLinkerFlag)
check_linker_flag(CXX -fuse-ld=lld SSLMEME_HAVE_LLD)
if(SSLMEME_HAVE_LLD)
  target_link_options(sslmeme_own INTERFACE -fuse-ld=lld)
endif()

# Gives `target` the shared precompiled header (about 38 s once, then some 20 s less for every file). clang keeps in it what
# LibTorch's headers instantiate; g++ does that anew for every file, which is why it needs three times as long.
function(sslmeme_use_precompiled_header target)
  if(NOT TARGET sslmeme_pch)
    file(GENERATE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/pch.cpp" CONTENT "// Only here so that the precompiled header has an owner.\n")
    add_library(sslmeme_pch OBJECT "${CMAKE_CURRENT_BINARY_DIR}/pch.cpp")
    target_compile_features(sslmeme_pch PRIVATE cxx_std_20)
    target_link_libraries(sslmeme_pch PRIVATE torch sslmeme_dependencies sslmeme_own)
    target_precompile_headers(sslmeme_pch PRIVATE "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/pch.hpp")
  endif()
  target_precompile_headers(${target} REUSE_FROM sslmeme_pch)
endfunction()
