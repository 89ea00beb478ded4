# Every foreign library, found once, and the options every target of ours is compiled with.
option(DFAAS_BENCH "Build the benchmark programs" OFF)
option(DFAAS_FUZZ "Build the libFuzzer programs of tests/fuzz; takes clang" OFF)
set(DFAAS_SANITIZE "" CACHE STRING "Value for -fsanitize=, empty for none")

find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tl-expected REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(prometheus-cpp REQUIRED COMPONENTS core)
find_package(SQLite3 REQUIRED)
find_package(yaml-cpp 0.7 REQUIRED)
find_package(Glpk REQUIRED)
find_package(Seccomp REQUIRED)
if(BUILD_TESTING)
  find_package(GTest REQUIRED)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
find_program(MOLD mold)

add_library(dfaas_options INTERFACE)
target_compile_features(dfaas_options INTERFACE cxx_std_20)
target_compile_options(dfaas_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
  # GCC 12 takes the frame allocator of inlined coroutines for a mismatch.
  -Wno-mismatched-new-delete
  # A designated initializer names what differs from the default; the rest is meant.
  -Wno-missing-field-initializers)
target_compile_definitions(dfaas_options INTERFACE
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_REGEX BOOST_ERROR_CODE_HEADER_ONLY)
target_link_libraries(dfaas_options INTERFACE tl::expected fmt::fmt)
if(MOLD)
  target_link_options(dfaas_options INTERFACE -fuse-ld=mold)
endif()
if(DFAAS_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "DFAAS_FUZZ takes clang, not ${CMAKE_CXX_COMPILER}: use the preset fuzz")
  endif()
  # Every library is instrumented, so that the fuzzer sees which code an input reaches.
  target_compile_options(dfaas_options INTERFACE -fsanitize=fuzzer-no-link,address,undefined
    -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(dfaas_options INTERFACE -fsanitize=address,undefined)
endif()
if(DFAAS_SANITIZE)
  target_compile_options(dfaas_options INTERFACE
    -fsanitize=${DFAAS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(dfaas_options INTERFACE -fsanitize=${DFAAS_SANITIZE})
  if(DFAAS_SANITIZE MATCHES thread)
    # GCC 12 cannot see Asio's atomic fences under the thread sanitizer.
    target_compile_definitions(dfaas_options INTERFACE BOOST_ASIO_DISABLE_FENCED_BLOCK)
    target_compile_options(dfaas_options INTERFACE -Wno-tsan)
  endif()
endif()
