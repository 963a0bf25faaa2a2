program Broken;
begin
    nothing;
end.
