# Install and export: find_package(sslmeme) works from the installed tree, wherever it is moved.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/sslmeme")
install(TARGETS sslmeme EXPORT sslmeme-targets)
install(DIRECTORY include/sslmeme DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT sslmeme-targets NAMESPACE sslmeme:: DESTINATION "${package_dir}")

configure_package_config_file(cmake/sslmeme-config.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/sslmeme-config.cmake"
  INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/sslmeme-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/sslmeme-config.cmake" "${CMAKE_CURRENT_BINARY_DIR}/sslmeme-config-version.cmake"
  cmake/Findutf8proc.cmake cmake/FindWebP.cmake cmake/Findlibdeflate.cmake cmake/FindTesseract.cmake DESTINATION "${package_dir}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/sslmeme")
