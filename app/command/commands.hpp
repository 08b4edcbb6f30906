#pragma once

#include "app/session.hpp"

namespace CLI {
class App;
}

namespace amend {

/// Each adds a command with its options and help; the command itself runs as the session's action.
void add_population_command(CLI::App& app, Session& session);
void add_editor_command(CLI::App& app, Session& session);
void add_edit_command(CLI::App& app, Session& session);
void add_audit_command(CLI::App& app, Session& session);
void add_compare_command(CLI::App& app, Session& session);
void add_demo_command(CLI::App& app, Session& session);
void add_info_command(CLI::App& app, Session& session);
void add_bench_command(CLI::App& app, Session& session);

}  // namespace amend
