// SPDX-License-Identifier: AGPL-3.0-or-later
#include "apps/dfaas/function_templates.hpp"

#include <array>

#include <fmt/format.h>

#include "core/base/text.hpp"

namespace dfaas {

extern const std::string_view template_python_handler, template_python_test, template_python_index;
extern const std::string_view template_node_handler, template_node_test, template_node_index;
extern const std::string_view template_bash_handler, template_bash_test;
extern const std::string_view template_cpp_header, template_cpp_handler, template_cpp_test,
    template_cpp_index;

std::span<const FunctionTemplate> function_templates() {
  static const std::array<FunctionTemplate, 4> templates{{
      {.lang = "python",
       .files = {{"handler.py", template_python_handler, true},
                 {"handler_test.py", template_python_test, true},
                 {"index.py", template_python_index, false}},
       .run = "python3 -B @/index.py",
       .compile = "",
       .test = "python3 -m unittest handler_test"},
      {.lang = "node",
       .files = {{"handler.js", template_node_handler, true},
                 {"handler_test.js", template_node_test, true},
                 {"index.js", template_node_index, false}},
       .run = "node @/index.js",
       .compile = "",
       .test = "node --test handler_test.js"},
      {.lang = "bash",
       .files = {{"handler.sh", template_bash_handler, true},
                 {"handler_test.sh", template_bash_test, true}},
       .run = "bash @/handler.sh",
       .compile = "",
       .test = "bash handler_test.sh"},
      {.lang = "c++",
       .files = {{"handler.hpp", template_cpp_header, true},
                 {"handler.cpp", template_cpp_handler, true},
                 {"handler_test.cpp", template_cpp_test, true},
                 {"index.cpp", template_cpp_index, false}},
       .run = "@/run",
       .compile = "g++",
       .test = "g++ -std=c++17 -o handler_test handler.cpp handler_test.cpp && ./handler_test"},
  }};
  return templates;
}

Result<const FunctionTemplate*> find_template(std::string_view lang) {
  std::string known;
  for (const FunctionTemplate& one : function_templates()) {
    if (one.lang == lang) return &one;
    known += (known.empty() ? "" : ", ") + std::string(one.lang);
  }
  return fail(ErrorCode::not_found,
              fmt::format("there is no template for {}, only for {}", in_quotes(lang), known));
}

}  // namespace dfaas
