# dfaas_module(<name> LAYER <core|sim|live> [SOURCES ...] HEADERS ... [DEPENDS ...] [TESTS ...])
#
# One folder, one library, one test binary. The layer decides what a module may link: core links only
# core; sim adds sim; live adds live. A forbidden link stops at configure time with a sentence. The
# target all_verify_interface_header_sets compiles each header alone, so none can lean on what its
# neighbour happened to include first.
function(dfaas_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LAYER" "SOURCES;HEADERS;DEPENDS;TESTS")
  set(may_link_core core)
  set(may_link_sim core sim)
  set(may_link_live core live)
  # Pure code has no business with sockets, databases or log sinks. Of Boost, it may include containers,
  # which need no link: docs/decisions/0019.
  set(forbidden_in_core Boost OpenSSL SQLite SQLite3 spdlog prometheus-cpp Threads)

  set(target dfaas_${arg_LAYER}_${name})
  foreach(dependency IN LISTS arg_DEPENDS)
    if(dependency MATCHES "^dfaas::([a-z]+)::")
      if(NOT CMAKE_MATCH_1 IN_LIST may_link_${arg_LAYER})
        message(FATAL_ERROR "${target} (${arg_LAYER}) must not link ${dependency}: arrows point "
                            "live -> core <- sim, see ARCHITECTURE.md")
      endif()
    elseif(arg_LAYER STREQUAL "core" AND dependency MATCHES "^([A-Za-z0-9-]+)::")
      if(CMAKE_MATCH_1 IN_LIST forbidden_in_core)
        message(FATAL_ERROR "${target} (core) must not link ${dependency}: core is pure, see "
                            "ARCHITECTURE.md")
      endif()
    endif()
  endforeach()

  if(arg_SOURCES)
    add_library(${target} STATIC)
    set(scope PUBLIC)
    target_sources(${target} PRIVATE ${arg_SOURCES})
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(dfaas::${arg_LAYER}::${name} ALIAS ${target})
  target_sources(${target} ${scope} FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/src
                 FILES ${arg_HEADERS})
  target_link_libraries(${target} ${scope} dfaas_options ${arg_DEPENDS})

  if(arg_TESTS AND BUILD_TESTING)
    add_executable(${target}_test ${arg_TESTS})
    target_link_libraries(${target}_test PRIVATE ${target} GTest::gmock_main)
    gtest_discover_tests(${target}_test NO_PRETTY_VALUES DISCOVERY_MODE PRE_TEST
                         PROPERTIES LABELS "${arg_LAYER};${name}" TIMEOUT 120)
  endif()
endfunction()

# dfaas_embed(<target> <file> <symbol>)
#
# Makes the bytes of <file> available to <target> as `extern const std::string_view dfaas::<symbol>`.
function(dfaas_embed target file symbol)
  set(path ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  file(READ ${path} hexadecimal HEX)
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${hexadecimal}")
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT
"#include <string_view>
namespace dfaas {
static constexpr char bytes[] = {@bytes@};
extern const std::string_view ${symbol};
const std::string_view ${symbol}(bytes, sizeof bytes);
}  // namespace dfaas
" @ONLY)
  target_sources(${target} PRIVATE ${source})
endfunction()
