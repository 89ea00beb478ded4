// SPDX-License-Identifier: AGPL-3.0-or-later
#include "core/report/graph.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/report/graph_layout.hpp"
#include "core/report/markup.hpp"
#include "core/report/numbers.hpp"

namespace dfaas {
namespace {

constexpr double magnitude_max = 1e15;
constexpr double radius_min = 3.5;
constexpr double width_max = 11;     ///< Of half a link.
constexpr double width_min = 0.8;    ///< Of one over which anything goes.
constexpr double glyph_width = 7.2;  ///< Of the style sheet's 13 px font, on the safe side.
constexpr double name_height = 15;
constexpr std::size_t name_length_max = 24;
constexpr std::size_t table_links_max = 50;

double amount(double value) { return value > 0 && value <= magnitude_max ? value : 0; }

/// A coordinate; a tenth of a unit is finer than any screen.
std::string at(double coordinate) {
  std::string text = fmt::format("{:.1f}", coordinate);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

struct Box {
  double left;
  double top;
  double right;
  double bottom;

  [[nodiscard]] bool meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

struct Disc {
  double x = 0;
  double y = 0;
  double radius = 0;

  [[nodiscard]] Box box() const {
    return {.left = x - radius, .top = y - radius, .right = x + radius, .bottom = y + radius};
  }
};

struct Drawing {
  double width;
  double height;
  std::string_view classes;
};

/// Moves circles that lie on each other apart, as far as the drawing allows.
void separate(std::vector<Disc>& discs, const Box& within) {
  constexpr int rounds = 40;
  constexpr double gap = 3;
  for (int round = 0; round < rounds; ++round) {
    bool is_apart = true;
    for (std::size_t a = 0; a < discs.size(); ++a) {
      for (std::size_t b = a + 1; b < discs.size(); ++b) {
        double dx = discs[b].x - discs[a].x;
        const double dy = discs[b].y - discs[a].y;
        const double wanted = discs[a].radius + discs[b].radius + gap;
        if (std::abs(dx) >= wanted || dx * dx + dy * dy >= wanted * wanted) continue;
        if (dx == 0 && dy == 0) dx = 0.1;
        const double distance = std::sqrt(dx * dx + dy * dy);
        const double push = (wanted - distance) / 2 / distance;
        discs[a].x -= dx * push;
        discs[a].y -= dy * push;
        discs[b].x += dx * push;
        discs[b].y += dy * push;
        is_apart = false;
      }
    }
    for (Disc& disc : discs) {
      disc.x = std::clamp(disc.x, within.left, within.right);
      disc.y = std::clamp(disc.y, within.top, within.bottom);
    }
    if (is_apart) return;
  }
}

/// A few nodes need no large page.
Drawing fit(Drawing drawing, std::size_t nodes) {
  constexpr std::size_t few = 6;
  if (nodes <= few) drawing.height *= 0.6;
  return drawing;
}

constexpr Drawing wide{.width = 960, .height = 600, .classes = "plot wide"};
constexpr Drawing narrow{.width = 440, .height = 440, .classes = "plot narrow"};

std::vector<GraphLink> links_of(const Graph& graph) {
  std::vector<GraphLink> links;
  for (const GraphLink& link : graph.links) {
    if (link.a >= graph.nodes.size() || link.b >= graph.nodes.size() || link.a == link.b) continue;
    links.push_back(link);
    links.back().from_a = amount(link.from_a);
    links.back().from_b = amount(link.from_b);
  }
  return links;
}

std::vector<Disc> discs_of(const Graph& graph, const std::vector<GraphPlace>& places,
                           const Drawing& drawing) {
  double size_max = 0;
  for (const GraphNode& node : graph.nodes) size_max = std::max(size_max, amount(node.size));
  // A few nodes may be large, many must leave room between them.
  const double room = std::sqrt(drawing.width * drawing.height /
                                std::max(1.0, static_cast<double>(graph.nodes.size())));
  const double largest = std::clamp(0.22 * room, radius_min, 34.0);
  const double margin_x = largest + 30;
  const double margin_top = largest + 6;
  const double margin_bottom = largest + name_height + 6;
  std::vector<Disc> discs;
  for (std::size_t node = 0; node < graph.nodes.size(); ++node) {
    const double part = size_max > 0 ? amount(graph.nodes[node].size) / size_max : 0;
    discs.push_back(
        {.x = margin_x + places[node].x * (drawing.width - 2 * margin_x),
         .y = margin_top + places[node].y * (drawing.height - margin_top - margin_bottom),
         .radius = std::max(radius_min, largest * std::sqrt(part))});
  }
  separate(discs, {.left = margin_x,
                   .top = margin_top,
                   .right = drawing.width - margin_x,
                   .bottom = drawing.height - margin_bottom});
  return discs;
}

void draw_links(std::string& out, const std::vector<GraphLink>& links,
                const std::vector<Disc>& discs) {
  const auto idle = [](const GraphLink& link) { return link.from_a + link.from_b <= 0; };
  const bool with_idle =
      static_cast<std::size_t>(std::ranges::count_if(links, idle)) <= graph_idle_links_max;
  double most = 0;
  for (const GraphLink& link : links) most = std::max({most, link.from_a, link.from_b});
  for (const GraphLink& link : links) {
    if (idle(link) && !with_idle) continue;
    out += fmt::format(R"(<path class="link" d="M{} {}L{} {}"/>)", at(discs[link.a].x),
                       at(discs[link.a].y), at(discs[link.b].x), at(discs[link.b].y));
  }
  const auto half = [&](const Disc& from, const Disc& to, double sent) {
    if (sent <= 0) return;
    out += fmt::format(R"(<path class="flow" stroke-width="{}" d="M{} {}L{} {}"/>)",
                       at(std::max(width_min, width_max * sent / most)), at(from.x), at(from.y),
                       at((from.x + to.x) / 2), at((from.y + to.y) / 2));
  };
  for (const GraphLink& link : links) {
    half(discs[link.a], discs[link.b], link.from_a);
    half(discs[link.b], discs[link.a], link.from_b);
  }
}

/// The piece that is missing, from the top clockwise.
std::string bite(const Disc& disc, double missing) {
  const double radius = disc.radius;
  if (missing >= 0.999) {
    return fmt::format(R"(<circle class="bite" cx="{}" cy="{}" r="{}"/>)", at(disc.x), at(disc.y),
                       at(radius));
  }
  const double angle = 2 * std::numbers::pi * missing;
  return fmt::format(R"(<path class="bite" d="M{} {}V{}A{} {} 0 {} 1 {} {}Z"/>)", at(disc.x),
                     at(disc.y), at(disc.y - radius), at(radius), at(radius), missing > 0.5 ? 1 : 0,
                     at(disc.x + radius * std::sin(angle)), at(disc.y - radius * std::cos(angle)));
}

std::string node_tip(const GraphNode& node) {
  std::string tip = escaped(node.name);
  if (!node.note.empty()) tip += ": " + escaped(node.note, report_paragraph_length_max);
  return tip;
}

void draw_nodes(std::string& out, const Graph& graph, const std::vector<Disc>& discs) {
  constexpr double visible = 0.005;  ///< Less is no piece that anybody could see.
  for (std::size_t at_node = 0; at_node < discs.size(); ++at_node) {
    const GraphNode& node = graph.nodes[at_node];
    const Disc& disc = discs[at_node];
    const bool has_share = node.share >= 0 && node.share <= 1;
    out += fmt::format(R"(<g><title>{}</title><circle class="node {}" cx="{}" cy="{}" r="{}"/>)",
                       node_tip(node), has_share ? mark_class(node.mark) : "hollow", at(disc.x),
                       at(disc.y), at(disc.radius));
    if (has_share && node.share < 1 - visible) {
      out += bite(disc, 1 - node.share);
      out += fmt::format(R"(<circle class="rim {}" cx="{}" cy="{}" r="{}"/>)",
                         mark_class(node.mark), at(disc.x), at(disc.y), at(disc.radius - 0.7));
    }
    out += "</g>";
  }
}

/// The worst first, then the largest, then in order: whose name is there is told by this.
std::vector<std::size_t> by_interest(const Graph& graph) {
  std::vector<std::size_t> order(graph.nodes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&graph](std::size_t at_node) {
    const GraphNode& node = graph.nodes[at_node];
    const double share = node.share >= 0 && node.share <= 1 ? node.share : 2;
    return std::tuple(share, -amount(node.size), at_node);
  });
  return order;
}

/// No name covers another. Those of the few nodes that fare worst may cover circles, the others none.
void draw_names(std::string& out, const Graph& graph, const std::vector<Disc>& discs,
                const Drawing& drawing) {
  constexpr std::size_t worst_count = 8;
  const auto meets_any = [](const Box& box, const std::vector<Box>& others) {
    return std::ranges::any_of(others, [&box](const Box& other) { return box.meets(other); });
  };
  std::vector<Box> circles;
  circles.reserve(discs.size());
  for (const Disc& disc : discs) circles.push_back(disc.box());
  std::vector<Box> names;
  const std::vector<std::size_t> order = by_interest(graph);
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const GraphNode& node = graph.nodes[order[rank]];
    const Disc& disc = discs[order[rank]];
    const bool is_worst = rank < worst_count && node.share < 1;
    const auto letters = static_cast<double>(std::min(node.name.size(), name_length_max + 1));
    const double half = glyph_width * letters / 2;
    const double x = std::clamp(disc.x, half, drawing.width - half);
    for (const double top : {disc.y + disc.radius + 1, disc.y - disc.radius - name_height - 1}) {
      const Box box{.left = x - half, .top = top, .right = x + half, .bottom = top + name_height};
      if (box.top < 0 || box.bottom > drawing.height || meets_any(box, names)) continue;
      if (!is_worst && meets_any(box, circles)) continue;
      names.push_back(box);
      out += fmt::format(R"(<text class="node-name" x="{}" y="{}">{}</text>)", at(x),
                         at(top + 11.5), escaped(node.name, name_length_max));
      break;
    }
  }
}

std::string svg(const Graph& graph, const std::vector<GraphLink>& links,
                const std::vector<GraphPlace>& places, const Drawing& drawing) {
  const std::vector<Disc> discs = discs_of(graph, places, drawing);
  std::string out = fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" class="{}" viewBox="0 0 {} {}" role="img" )"
      R"(aria-label="{}: {} nodes, {} links">)",
      drawing.classes, at(drawing.width), at(drawing.height), escaped(graph.title),
      graph.nodes.size(), links.size());
  draw_links(out, links, discs);
  draw_nodes(out, graph, discs);
  draw_names(out, graph, discs, drawing);
  return out + "</svg>\n";
}

std::string legend_html(const Graph& graph, const std::vector<GraphLink>& links) {
  std::string out = R"(<ul class="legend">)";
  const auto entry = [&out](std::string_view shape, const std::string& text) {
    if (text.empty()) return;
    out += fmt::format(
        R"(<li><svg xmlns="http://www.w3.org/2000/svg" class="swatch" viewBox="0 0 18 12" )"
        R"(aria-hidden="true">{}</svg>{}</li>)",
        shape, text);
  };
  const auto has_mark = [&graph](Mark mark) {
    return std::ranges::any_of(graph.nodes, [mark](const GraphNode& node) {
      return node.mark == mark && node.share >= 0 && node.share <= 1;
    });
  };
  const auto mark = [&](Mark which, const std::string& label) {
    if (!has_mark(which)) return;
    entry(fmt::format(R"(<circle class="node {}" cx="9" cy="6" r="6"/>)", mark_class(which)),
          escaped(label));
  };
  mark(Mark::good, graph.good_label);
  mark(Mark::warning, graph.warning_label);
  mark(Mark::bad, graph.bad_label);
  double size_max = 0;
  for (const GraphNode& node : graph.nodes) size_max = std::max(size_max, amount(node.size));
  if (!graph.size_label.empty()) {
    entry(R"(<circle class="node hollow" cx="4" cy="8" r="3"/><circle class="node hollow" cx="13" )"
          R"(cy="6" r="5"/>)",
          fmt::format("area: {}, at most {}", escaped(graph.size_label), format_number(size_max)));
  }
  double most = 0;
  for (const GraphLink& link : links) most = std::max({most, link.from_a, link.from_b});
  if (!graph.link_label.empty() && most > 0) {
    entry(R"(<path class="flow" d="M0 6H11"/><path class="link" d="M11 6H18"/>)",
          fmt::format("width at a node: {} it sent there, at most {}", escaped(graph.link_label),
                      format_number(most)));
  }
  return out + "</ul>\n";
}

/// The widest halves of links, in numbers.
std::string numbers_html(const Graph& graph, const std::vector<GraphLink>& links) {
  struct Half {
    std::size_t from;
    std::size_t to;
    double sent;
  };
  std::vector<Half> halves;
  for (const GraphLink& link : links) {
    if (link.from_a > 0) halves.push_back({link.a, link.b, link.from_a});
    if (link.from_b > 0) halves.push_back({link.b, link.a, link.from_b});
  }
  if (halves.empty()) return "";
  std::ranges::sort(halves, {},
                    [](const Half& half) { return std::tuple(-half.sent, half.from, half.to); });
  const std::size_t shown = std::min(halves.size(), table_links_max);
  std::string out = fmt::format(
      "<details><summary>Numbers{}</summary><div class=\"scroll\"><table><thead><tr>"
      R"(<th scope="col" class="left">from</th><th scope="col" class="left">to</th>)"
      R"(<th scope="col" class="right">{}</th></tr></thead><tbody>)",
      shown < halves.size() ? fmt::format(" of the {} widest", shown) : "",
      escaped(graph.link_label));
  for (std::size_t at_half = 0; at_half < shown; ++at_half) {
    const Half& half = halves[at_half];
    out += fmt::format(
        R"(<tr><th scope="row" class="left">{}</th><td class="left">{}</td><td class="right">{}</td></tr>)",
        escaped(graph.nodes[half.from].name), escaped(graph.nodes[half.to].name),
        format_number(half.sent));
  }
  return out + "</tbody></table></div></details>\n";
}

}  // namespace

std::string graph_html(const Graph& graph) {
  std::string out = "<figure>\n<figcaption>";
  if (!graph.title.empty()) out += "<h3>" + escaped(graph.title) + "</h3>";
  if (!graph.note.empty()) out += "<p>" + escaped(graph.note, report_paragraph_length_max) + "</p>";
  out += "</figcaption>\n";
  if (graph.nodes.empty() || graph.nodes.size() > graph_nodes_max) {
    return out + fmt::format("<p class=\"small\">{} nodes are not drawn.</p>\n</figure>\n",
                             graph.nodes.size());
  }
  const std::vector<GraphLink> links = links_of(graph);
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  pairs.reserve(links.size());
  for (const GraphLink& link : links) pairs.emplace_back(link.a, link.b);
  const std::vector<GraphPlace> places = graph_layout(graph.nodes.size(), pairs);
  out += legend_html(graph, links) + "<div class=\"alone\">\n<div class=\"chart\">";
  out += svg(graph, links, places, fit(wide, graph.nodes.size())) +
         svg(graph, links, places, fit(narrow, graph.nodes.size()));
  return out + numbers_html(graph, links) + "</div>\n</div>\n</figure>\n";
}

}  // namespace dfaas
