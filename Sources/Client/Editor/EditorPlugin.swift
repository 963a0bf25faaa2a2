import Foundation

/// The plugin for Vim and Neovim as it lies beside the program, and where these editors look for plugins.
package struct EditorPlugin: Sendable {
    package enum Editor: CaseIterable, Sendable {
        case vim, neovim

        package var name: String {
            switch self {
            case .vim: "Vim"
            case .neovim: "Neovim"
            }
        }

        private var program: String {
            switch self {
            case .vim: "vim"
            case .neovim: "nvim"
            }
        }

        package var isInstalled: Bool {
            let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
            return path.split(separator: ":").contains {
                FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
            }
        }

        /// The directory of the plugin in a package of the editor's own kind, which it loads at its start. For Vim below
        /// `~/.vim`, or where Vim 9.1 keeps its files if it keeps them there (`:help xdg-vimrc`); for Neovim in its
        /// site directory (`:help standard-path`).
        package func pluginDirectory(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String {
            func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
            let home = value("HOME") ?? NSHomeDirectory()
            let package = "pack/martlet/start/martlet"
            switch self {
            case .vim:
                let modern = "\(value("XDG_CONFIG_HOME") ?? "\(home)/.config")/vim"
                let isModern =
                    FileManager.default.fileExists(atPath: "\(modern)/vimrc")
                    && !["\(home)/.vimrc", "\(home)/.vim/vimrc"].contains(
                        where: FileManager.default.fileExists(atPath:))
                return "\(isModern ? modern : "\(home)/.vim")/\(package)"
            case .neovim:
                let data = value("XDG_DATA_HOME") ?? "\(home)/.local/share"
                return "\(data)/\(value("NVIM_APPNAME") ?? "nvim")/site/\(package)"
            }
        }
    }

    package let directory: String

    /// The plugin that belongs to this program: installed under the same prefix (`bin/martlet`, `share/martlet/vim`), in
    /// a source tree where its source is.
    package static func ofThisProgram() throws -> EditorPlugin {
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "/"
        let beside = URL(filePath: program).deletingLastPathComponent()
        let candidates = ["../share/martlet/vim", "../../../Sources/Client/Editor/Resources/vim"].map {
            beside.appending(path: $0).standardizedFileURL.path(percentEncoded: false)
        }
        guard let found = candidates.first(where: { FileManager.default.fileExists(atPath: "\($0)/plugin") }) else {
            throw ClientError(
                .failed, code: "plugin_missing", message: "The plugin is not at '\(candidates[0])'.",
                hint: "'make install' puts it there, beside the program.")
        }
        return EditorPlugin(directory: found)
    }

    /// What `:helptags` would make of the help (`:help help-writing`): each `*tag*` that stands by itself, where it is and
    /// how it is searched for, in the order of their bytes.
    private static func writeTags(in directory: String) throws {
        let name = "martlet.txt"
        let help = try String(contentsOfFile: "\(directory)/\(name)", encoding: .utf8)
        let tags = help.matches(of: /(?m)(?:^|[ \t])\*([^ \t\n*|]+)\*(?=[ \t]|$)/).map { String($0.output.1) }
        let lines = tags.map { tag in
            let pattern = tag.replacing("\\", with: "\\\\").replacing("/", with: "\\/")
            return "\(tag)\t\(name)\t/*\(pattern)*\n"
        }
        let text = lines.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }.joined()
        try text.write(toFile: "\(directory)/tags", atomically: false, encoding: .utf8)
    }

    /// Copies it, in place of an earlier copy, of which nothing stays, and indexes its help. Returns where to.
    package func install(for editor: Editor) throws -> String {
        let files = FileManager.default
        let target = editor.pluginDirectory()
        let parent = (target as NSString).deletingLastPathComponent
        // Beside it and then in its place: never half a plugin. A name without dot would be a plugin for the editor.
        let fresh = "\(parent)/.martlet-\(UUID().uuidString)"
        defer { try? files.removeItem(atPath: fresh) }
        do {
            if (try? files.destinationOfSymbolicLink(atPath: target)) != nil {
                throw ClientError(
                    .failed, code: "plugin_is_link", message: "'\(target)' is a link, so nothing was copied.",
                    hint: "Whoever made it keeps the plugin elsewhere; remove the link to have a copy here.")
            }
            try files.createDirectory(atPath: parent, withIntermediateDirectories: true)
            try files.copyItem(atPath: directory, toPath: fresh)
            try Self.writeTags(in: "\(fresh)/doc")
            if files.fileExists(atPath: target) { try files.removeItem(atPath: target) }
            try files.moveItem(atPath: fresh, toPath: target)
        } catch let error as CocoaError {
            throw ClientError(
                .failed, code: "plugin_not_copied", message: "Cannot write '\(target)': \(error.localizedDescription)",
                hint: "The directory must be yours; 'martlet editor path' says where the plugin is now.")
        }
        return target
    }
}
