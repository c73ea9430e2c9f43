// The version of sslmeme: the single source, read by CMake as well.
#pragma once

#define SSLMEME_VERSION_MAJOR 0
#define SSLMEME_VERSION_MINOR 1
#define SSLMEME_VERSION_PATCH 0
#define SSLMEME_VERSION "0.1.0"
