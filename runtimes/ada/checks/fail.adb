with Ada.Command_Line;
with Ada.Text_IO;

procedure Main is
begin
   Ada.Text_IO.Put_Line ("before");
   Ada.Text_IO.Put_Line (Ada.Command_Line.Argument (1));
end Main;
