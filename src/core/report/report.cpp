// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/report/report.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "core/report/figure.hpp"
#include "core/report/graph.hpp"
#include "core/report/markup.hpp"
#include "core/report/numbers.hpp"

namespace dfaas {

extern const std::string_view report_style;

namespace {

std::string_view alignment_class(Alignment alignment) {
  return alignment == Alignment::left ? "left" : "right";
}

std::string cell_text(const TableCell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell.value)) return escaped(*text);
  const double number = std::get<double>(cell.value);
  return escaped(cell.format == NumberFormat::share ? format_share(number) : format_number(number));
}

std::string row_html(const TableRow& row, const Table& table) {
  std::string out = row.highlighted ? R"(<tr class="highlighted">)" : "<tr>";
  // A row names as many cells as it has; every row is as wide as the heading.
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const TableCell cell = i < row.cells.size() ? row.cells[i] : TableCell{.value = ""};
    const std::string_view tag = i == 0 ? "th" : "td";
    out += fmt::format(R"(<{}{} class="{} {}">{}{}</{}>)", tag, i == 0 ? R"( scope="row")" : "",
                       alignment_class(table.columns[i].alignment), mark_class(cell.mark),
                       mark_html(cell.mark), cell_text(cell), tag);
  }
  return out + "</tr>\n";
}

std::string table_html(const Table& table) {
  std::string out = R"(<div class="table">)";
  if (!table.title.empty()) out += "<h3>" + escaped(table.title) + "</h3>\n";
  out += "<div class=\"scroll\"><table>\n<thead><tr>";
  for (const TableColumn& column : table.columns) {
    out += fmt::format(R"(<th scope="col" class="{}">{})", alignment_class(column.alignment),
                       escaped(column.heading));
    if (!column.unit.empty()) {
      out += fmt::format(R"( <span class="unit">({})</span>)", escaped(column.unit));
    }
    out += "</th>";
  }
  out += "</tr></thead>\n<tbody>\n";
  const std::size_t shown = std::min(table.rows.size(), report_table_rows_max);
  for (std::size_t i = 0; i < shown; ++i) out += row_html(table.rows[i], table);
  out += "</tbody>\n</table></div>\n";
  if (shown < table.rows.size()) {
    out += fmt::format("<p class=\"small\">{} more rows are not shown.</p>\n",
                       table.rows.size() - shown);
  }
  return out + "</div>\n";
}

std::string key_figures_html(const std::vector<KeyFigure>& figures) {
  if (figures.empty()) return "";
  std::string out = "<ul class=\"key-figures\">\n";
  for (const KeyFigure& figure : figures) {
    out += fmt::format(R"(<li class="{}"><span class="value">{}{}</span>)", mark_class(figure.mark),
                       mark_html(figure.mark), escaped(figure.value));
    out += fmt::format(R"( <span class="label">{}</span>)", escaped(figure.label));
    if (!figure.note.empty()) {
      out += fmt::format(R"( <span class="small">{}</span>)", escaped(figure.note));
    }
    out += "</li>\n";
  }
  return out + "</ul>\n";
}

std::string section_html(const Section& section, const Palette& palette) {
  std::string out = "<section>\n";
  if (!section.heading.empty()) out += "<h2>" + escaped(section.heading) + "</h2>\n";
  if (!section.paragraph.empty()) {
    out += "<p>" + escaped(section.paragraph, report_paragraph_length_max) + "</p>\n";
  }
  for (const SectionItem& item : section.items) {
    if (const auto* table = std::get_if<Table>(&item)) {
      out += table_html(*table);
    } else if (const auto* graph = std::get_if<Graph>(&item)) {
      out += graph_html(*graph);
    } else {
      out += figure_html(std::get<Figure>(item), palette);
    }
  }
  return out + "</section>\n";
}

std::string footer_html(const GeneratedBy& generated_by) {
  std::string out = "<footer>\n<dl>";
  const auto row = [&](std::string_view name, const std::string& escaped_value) {
    out += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", name, escaped_value);
  };
  if (!generated_by.version.empty()) row("Made by", escaped(generated_by.version));
  if (!generated_by.command.empty()) {
    row("Command",
        "<code>" + escaped(generated_by.command, report_paragraph_length_max) + "</code>");
  }
  if (generated_by.seed) row("Seed", fmt::format("<code>{}</code>", *generated_by.seed));
  if (!generated_by.date.empty()) row("Date", escaped(generated_by.date));
  return out + "</dl>\n</footer>\n";
}

}  // namespace

std::string to_html(const Report& report) {
  const Palette palette(report);
  // The policy forbids what the page does not need anyway: a name that got past the escaping could
  // still load and run nothing.
  std::string out =
      "<!DOCTYPE html>\n"
      R"(<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head><meta charset="utf-8"/>)"
      "\n"
      R"(<meta http-equiv="Content-Security-Policy" )"
      R"(content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"/>)"
      "\n"
      R"(<meta name="viewport" content="width=device-width, initial-scale=1"/>)"
      R"(<meta name="color-scheme" content="light dark"/><link rel="icon" href="data:,"/>)"
      "\n";
  out += "<title>" + escaped(report.title) + "</title>\n<style>\n";
  out += report_style;
  out += "</style></head>\n<body>\n<header>\n<h1>" + escaped(report.title) + "</h1>\n";
  if (!report.lead.empty()) {
    out +=
        fmt::format("<p class=\"lead {}\">{}{}</p>\n", mark_class(report.lead_mark),
                    mark_html(report.lead_mark), escaped(report.lead, report_paragraph_length_max));
  }
  out += key_figures_html(report.key_figures) + "</header>\n<main>\n";
  for (const Section& section : report.sections) out += section_html(section, palette);
  out += "</main>\n" + footer_html(report.generated_by) + "</body></html>\n";
  return out;
}

}  // namespace dfaas
